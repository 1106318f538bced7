/** The protocols by name. */
import { fanfareJson } from './fanfare-json.js';
import { fanfareMsgpack } from './fanfare-msgpack.js';
import type { Protocol } from './protocol.js';
import { raw } from './raw.js';

export const protocols = {
  msgpack: fanfareMsgpack,
  json: fanfareJson,
  raw,
} as const satisfies Readonly<Record<string, Protocol>>;

export type ProtocolName = keyof typeof protocols;
