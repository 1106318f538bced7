/** The readers of protocols whose messages may be split anywhere: any split of the same bytes gives the same events. */
import { readSequence, stampText } from '@fanfare/kit/stamp';
import { expect, it } from 'vitest';
import type { Events, OnPublication, Protocol } from '../src/protocols/protocol.js';
import { protocols } from '../src/protocols/protocols.js';

const data = (sequence: number): string => stampText(0, sequence, 0).padEnd(200, 'x');

/** The events of a reader for `bytes`, which arrive in pieces of `pieceBytes`. */
function eventsOf(protocol: Protocol, bytes: Uint8Array, pieceBytes: number): string[] {
  const events: string[] = [];
  const handlers: Events = {
    greeted: () => events.push('greeted'),
    confirmed: (subscriptions) => events.push(`confirmed ${subscriptions}`),
    acknowledged: (publications) => events.push(`acknowledged ${publications}`),
    reply: (message) => events.push(`reply ${Buffer.from(message)}`),
    refused: (reason) => events.push(`refused ${reason}`),
  };
  const onPublication: OnPublication = (all, stampAt) => events.push(`publication ${readSequence(all, stampAt)}`);
  const read = protocol.reader(onPublication, handlers);
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    // In the middle of a buffer that is overwritten later, like that of a read.
    const buffer = Buffer.alloc(pieceBytes + 2);
    const piece = bytes.subarray(at, at + pieceBytes);
    buffer.set(piece, 1);
    read(buffer, 1, 1 + piece.length);
    buffer.fill(0);
  }
  return events;
}

const nats = Buffer.from(
  `INFO {"max_payload":1}\r\nPONG\r\nPONG\r\nMSG a a 200\r\n${data(1)}\r\nPING\r\nMSG a a 200\r\n${data(2)}\r\n-ERR 'no'\r\n`,
);

/** 203 bytes. The encoded length has the lowest seven bits first. */
const publish = (sequence: number): Buffer =>
  Buffer.concat([Buffer.from([0x30, 0x80 | (203 & 0x7f), 203 >>> 7, 0, 1, 0x61]), Buffer.from(data(sequence))]);

const mqtt = Buffer.concat([
  Buffer.from([0x20, 2, 0, 0]),
  Buffer.from([0x90, 4, 0, 1, 0, 0]),
  publish(1),
  publish(2),
  Buffer.from([0xb0, 2, 0, 1]),
  Buffer.from([0x90, 3, 0, 1, 0x80]),
]);

it.each([1, 2, 3, 7, 64, 100, 10_000])('NATS is read correctly in pieces of %i bytes', (pieceBytes) => {
  expect(eventsOf(protocols.nats, nats, pieceBytes)).toEqual([
    'greeted',
    'confirmed 1',
    'publication 1',
    'reply PONG\r\n',
    'publication 2',
    "refused -ERR 'no'",
  ]);
});

it.each([1, 2, 3, 7, 64, 100, 10_000])('MQTT is read correctly in pieces of %i bytes', (pieceBytes) => {
  expect(eventsOf(protocols.mqtt, mqtt, pieceBytes)).toEqual([
    'greeted',
    'confirmed 2',
    'publication 1',
    'publication 2',
    'confirmed 1',
    'refused a subscription',
  ]);
});

const redis = Buffer.from(
  `*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n${[1, 2].map((n) => `*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$200\r\n${data(n)}\r\n`).join('')}:1\r\n-ERR no\r\n`,
);

it.each([1, 2, 3, 7, 64, 100, 10_000])('RESP is read correctly in pieces of %i bytes', (pieceBytes) => {
  expect(eventsOf(protocols.redis, redis, pieceBytes)).toEqual([
    'confirmed 1',
    'publication 1',
    'publication 2',
    'acknowledged 1',
    'refused -ERR no',
  ]);
});
