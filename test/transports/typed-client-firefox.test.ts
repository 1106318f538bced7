/** The typed client with its fallback in Firefox. */
import { browsers } from '../browsers.js';
import { testTypedClient } from './typed-client-in.js';

testTypedClient(...browsers[1]);
