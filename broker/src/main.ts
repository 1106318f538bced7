#!/usr/bin/env node
/**
 * Starts the program. The settings of V8 come before its modules, because loading them would make the young generation
 * grow.
 */
import { shortenCollections } from './settings/v8-settings.js';

shortenCollections();
await import('./node/program.js');
