/** The publisher of the load test: publications that share one write. */

import { findStamp, readPlannedUs, readSequence, stampBytes } from '@fanfare/kit/stamp';
import { MsgpackNodeCodec, type Publish } from '@fanfare/protocol';
import { expect, it } from 'vitest';
import { localTarget } from '../src/load/deployment.js';
import { Publisher } from '../src/load/publisher.js';
import type { Protocol } from '../src/protocols/protocol.js';
import { protocols } from '../src/protocols/protocols.js';

const target = localTarget(8080);

function published(protocol: Protocol, sequences: readonly number[]): Uint8Array {
  const written: Uint8Array[] = [];
  const connection = {
    isConnected: true,
    frame: (message: Uint8Array) => message,
    write: (bytes: Uint8Array) => written.push(bytes),
  };
  const publisher = new Publisher(connection, { protocol, target, publicationBytes: 60 });
  for (const sequence of sequences) publisher.add('news', 0, sequence, 777);
  publisher.flush();
  expect(written).toHaveLength(1);
  return written[0] as Uint8Array;
}

it('publications in one write have their own stamps, also in protocols without frames', () => {
  const bytes = published(protocols.mqtt.publisher, [1, 2, 3]);
  const sequences: number[] = [];
  for (let at = findStamp(bytes, 0, bytes.length); at >= 0; at = findStamp(bytes, at + stampBytes, bytes.length)) {
    sequences.push(readSequence(bytes, at));
  }
  expect(sequences).toEqual([1, 2, 3]);
});

it('a publication that is to be acknowledged has its own messageId, and shares a frame with others', () => {
  const frame = published(protocols['msgpack-acknowledged'].publisher, [0, 1, 1_000_000]);
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

/** A publisher over HTTP, and what it has written. */
function requests(protocol: Protocol) {
  const written: string[] = [];
  const answered: number[] = [];
  const connection = {
    isConnected: true,
    frame: (message: Uint8Array) => protocol.wrap?.(message, target) ?? message,
    write: (bytes: Uint8Array) => written.push(Buffer.from(bytes).toString('latin1')),
  };
  const onAnswered = (plannedUs: number): void => void answered.push(plannedUs);
  const publisher = new Publisher(connection, { protocol, target, publicationBytes: 60, onAnswered });
  return { publisher, written, answered };
}

const bodyOf = (request: string | undefined): string => request?.split('\r\n\r\n')[1] ?? '';

it('over HTTP, a request waits for the answer to the previous one', () => {
  const { publisher, written, answered } = requests(protocols.http.publisher);
  for (const sequence of [1, 2, 3]) publisher.add('news', 0, sequence, sequence * 100);
  publisher.flush();
  publisher.flush();
  expect(written).toHaveLength(1);
  expect(written[0]).toMatch(/^POST \/v1\/topics\/news\/publications HTTP\/1\.1\r\nHost: 127\.0\.0\.1:8080\r\n/);
  expect(publisher.answered(1)).toBe(1);
  expect(publisher.answered(1)).toBe(1);
  publisher.add('news', 0, 4, 400);
  expect(publisher.answered(1)).toBe(1);
  expect(publisher.answered(1)).toBe(1);
  expect(answered).toEqual([100, 200, 300, 400]);
  const bodies = written.map(bodyOf);
  expect(bodies.map((body) => readSequence(Buffer.from(body), 1))).toEqual([1, 2, 3, 4]);
  expect(bodies.map((body) => JSON.parse(body).length)).toEqual([58, 58, 58, 58]);
  expect(written.map((request) => /Content-Length: (\d+)/.exec(request)?.[1])).toEqual(['60', '60', '60', '60']);
});

it('over HTTP, everything that waits goes into one batch, up to its limits', () => {
  const { publisher, written, answered } = requests(protocols['http-batch'].publisher);
  for (let sequence = 0; sequence < 1_200; sequence++) publisher.add(`t${sequence % 2}`, 0, sequence, sequence);
  publisher.flush();
  publisher.flush();
  expect(written).toHaveLength(1);
  expect(publisher.answered(1)).toBe(1_000);
  expect(publisher.answered(1)).toBe(200);
  expect(answered).toHaveLength(1_200);
  const lines = written.map((request) => bodyOf(request).trimEnd().split('\n'));
  expect(lines.map(({ length }) => length)).toEqual([1_000, 200]);
  expect(JSON.parse(lines[0]?.[1] ?? '')).toEqual({ topic: 't1', data: expect.stringMatching(/^ff:/) });
  expect(written[0]).toMatch(/^POST \/v1\/publications HTTP\/1\.1\r\n/);
});
