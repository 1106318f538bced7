/** The kinds of server by name, in the order of tables. */
import { fanfare } from './fanfare.js';
import { raw } from './raw.js';
import type { ServerKind } from './server.js';

export const servers: Readonly<Record<string, ServerKind>> = {
  fanfare: fanfare('recoverable', 'msgpack'),
  'fanfare-json': fanfare('recoverable', 'json'),
  'fanfare-fast': fanfare('fast', 'msgpack'),
  'fanfare-fast-json': fanfare('fast', 'json'),
  raw: raw(false),
  'raw-deferred': raw(true),
};
