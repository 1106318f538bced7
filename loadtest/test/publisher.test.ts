/** The publisher of the load test: publications that share one write. */

import { findStamp, readSequence, stampBytes } from '@fanfare/kit/stamp';
import { expect, it } from 'vitest';
import { Publisher } from '../src/load/publisher.js';
import { protocols } from '../src/protocols/protocols.js';

it('publications in one write have their own stamps, also in protocols without frames', () => {
  const written: Uint8Array[] = [];
  const connection = {
    isConnected: true,
    frame: (message: Uint8Array) => message,
    write: (bytes: Uint8Array) => written.push(bytes),
  };
  const publisher = new Publisher(connection, protocols.mqtt, 60);
  for (const sequence of [1, 2, 3]) publisher.add('news', 0, sequence, 0);
  publisher.flush();
  expect(written).toHaveLength(1);
  const bytes = written[0] as Uint8Array;
  const sequences: number[] = [];
  for (let at = findStamp(bytes, 0, bytes.length); at >= 0; at = findStamp(bytes, at + stampBytes, bytes.length)) {
    sequences.push(readSequence(bytes, at));
  }
  expect(sequences).toEqual([1, 2, 3]);
});
