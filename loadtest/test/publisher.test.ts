/** The publisher of the load test: publications that share one write. */

import { findStamp, readPlannedUs, readSequence, stampBytes } from '@fanfare/kit/stamp';
import { MsgpackNodeCodec, type Publish } from '@fanfare/protocol';
import { expect, it } from 'vitest';
import { Publisher } from '../src/load/publisher.js';
import type { Protocol } from '../src/protocols/protocol.js';
import { protocols } from '../src/protocols/protocols.js';

function published(protocol: Protocol, sequences: readonly number[]): Uint8Array {
  const written: Uint8Array[] = [];
  const connection = {
    isConnected: true,
    frame: (message: Uint8Array) => message,
    write: (bytes: Uint8Array) => written.push(bytes),
  };
  const publisher = new Publisher(connection, protocol, 60);
  for (const sequence of sequences) publisher.add('news', 0, sequence, 777);
  publisher.flush();
  expect(written).toHaveLength(1);
  return written[0] as Uint8Array;
}

it('publications in one write have their own stamps, also in protocols without frames', () => {
  const bytes = published(protocols.mqtt, [1, 2, 3]);
  const sequences: number[] = [];
  for (let at = findStamp(bytes, 0, bytes.length); at >= 0; at = findStamp(bytes, at + stampBytes, bytes.length)) {
    sequences.push(readSequence(bytes, at));
  }
  expect(sequences).toEqual([1, 2, 3]);
});

it('a publication that is to be acknowledged has its own messageId, and shares a frame with others', () => {
  const frame = published(protocols['msgpack-acknowledged'], [0, 1, 1_000_000]);
  const read: Publish[] = [];
  new MsgpackNodeCodec().decode(frame, {
    isOver: false,
    onCommand: (command) => {
      if (command.type === 'publish') read.push(command);
    },
    onCommandError: (error) => {
      throw error;
    },
  });
  const stamps = read.map(({ start, end }) => findStamp(frame, start, end));
  expect(stamps.map((at) => readSequence(frame, at))).toEqual([0, 1, 1_000_000]);
  expect(stamps.map((at) => readPlannedUs(frame, at))).toEqual([777, 777, 777]);
  expect(read.map(({ id }) => id)).toEqual([1, 1, 1]);
  expect(new Set(read.map(({ messageId }) => messageId)).size).toBe(3);
});
