/** Event streams and long polls on pages in Firefox. */
import { browsers } from '../browsers.js';
import { testTransports } from './suite.js';

const [name, isHere, launch] = browsers[1];
testTransports(name, isHere, launch);
