/** Event streams and long polls on pages in Chromium. */
import { browsers } from '../browsers.js';
import { testTransports } from './suite.js';

const [name, isHere, launch] = browsers[0];
testTransports(name, isHere, launch);
