/** The typed client with its fallback in Chromium. */
import { browsers } from '../browsers.js';
import { testTypedClient } from './typed-client-in.js';

testTypedClient(...browsers[0]);
