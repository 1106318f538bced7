/** Starts a worker, as main.ts starts the program. */
import { shortenCollections } from '../../settings/v8-settings.js';

shortenCollections();
await import('./worker-program.js');
