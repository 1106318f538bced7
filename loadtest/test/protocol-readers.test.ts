/** The readers of protocols whose units are split anywhere: every way to cut the same bytes tells the same. */

import { readSequence, stampText } from '@fanfare/kit/stamp';
import { expect, it } from 'vitest';
import type { Events, OnPublication, Protocol } from '../src/protocols/protocol.js';
import { protocols } from '../src/protocols/protocols.js';

const data = (sequence: number): string => stampText(0, sequence, 0).padEnd(200, 'x');

/** What it says of `bytes`, that come in pieces of so many. */
function tell(protocol: Protocol, bytes: Uint8Array, pieceBytes: number): string[] {
  const told: string[] = [];
  const events: Events = {
    greeted: () => told.push('greeted'),
    confirmed: (subscriptions) => told.push(`confirmed ${subscriptions}`),
    acknowledged: (publications) => told.push(`acknowledged ${publications}`),
    reply: (message) => told.push(`reply ${Buffer.from(message)}`),
    refused: (reason) => told.push(`refused ${reason}`),
  };
  const onPublication: OnPublication = (all, stampAt) => told.push(`publication ${readSequence(all, stampAt)}`);
  const read = protocol.reader(onPublication, events);
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    // In the middle of a buffer that is written over later, as reads are.
    const buffer = Buffer.alloc(pieceBytes + 2);
    const piece = bytes.subarray(at, at + pieceBytes);
    buffer.set(piece, 1);
    read(buffer, 1, 1 + piece.length);
    buffer.fill(0);
  }
  return told;
}

const nats = Buffer.from(
  `INFO {"max_payload":1}\r\nPONG\r\nPONG\r\nMSG a a 200\r\n${data(1)}\r\nPING\r\nMSG a a 200\r\n${data(2)}\r\n-ERR 'no'\r\n`,
);

/** 203 bytes, of which the length says the lowest seven bits first. */
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

it.each([1, 2, 3, 7, 64, 100, 10_000])('NATS, in pieces of %i bytes', (pieceBytes) => {
  expect(tell(protocols.nats, nats, pieceBytes)).toEqual([
    'greeted',
    'confirmed 1',
    'publication 1',
    'reply PONG\r\n',
    'publication 2',
    "refused -ERR 'no'",
  ]);
});

it.each([1, 2, 3, 7, 64, 100, 10_000])('MQTT, in pieces of %i bytes', (pieceBytes) => {
  expect(tell(protocols.mqtt, mqtt, pieceBytes)).toEqual([
    'greeted',
    'confirmed 2',
    'publication 1',
    'publication 2',
    'confirmed 1',
    'refused a subscription',
  ]);
});
