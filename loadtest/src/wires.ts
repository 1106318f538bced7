/** The wires by name. */
import { JsonWire } from './json-wire.js';
import { MsgpackWire } from './msgpack-wire.js';
import { RawWire } from './raw-wire.js';
import type { Wire, WireName } from './wire.js';

export function createWire(name: WireName, publicationBytes: number): Wire {
  switch (name) {
    case 'raw':
      return new RawWire(publicationBytes);
    case 'msgpack':
      return new MsgpackWire();
    case 'json':
      return new JsonWire(publicationBytes);
  }
}
