/** The readers of protocols whose messages may be split anywhere: any split of the same bytes gives the same events. */
import { readSequence, stampText } from '@fanfare/kit/stamp';
import { expect, it } from 'vitest';
import { localTarget } from '../src/load/deployment.js';
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
  const read = protocol.reader(onPublication, handlers, { target: localTarget(8080), topics: ['a'] });
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
  expect(eventsOf(protocols.nats.subscriber, nats, pieceBytes)).toEqual([
    'greeted',
    'confirmed 1',
    'publication 1',
    'reply PONG\r\n',
    'publication 2',
    "refused -ERR 'no'",
  ]);
});

it.each([1, 2, 3, 7, 64, 100, 10_000])('MQTT is read correctly in pieces of %i bytes', (pieceBytes) => {
  expect(eventsOf(protocols.mqtt.subscriber, mqtt, pieceBytes)).toEqual([
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
  expect(eventsOf(protocols.redis.subscriber, redis, pieceBytes)).toEqual([
    'confirmed 1',
    'publication 1',
    'publication 2',
    'acknowledged 1',
    'refused -ERR no',
  ]);
});

const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';
const event = (sequence: number): string => chunk(`data: "${data(sequence)}"\nid: 7-${sequence}\n\n`);
const stream = head + chunk('retry: 2000\nevent: ready\ndata: {}\nid: 7-0\n\n') + event(1) + chunk(':\n\n') + event(2);

it.each([1, 2, 3, 7, 64, 100, 10_000])('an event stream is read correctly in pieces of %i bytes', (pieceBytes) => {
  expect(eventsOf(protocols.sse.subscriber, Buffer.from(stream), pieceBytes)).toEqual([
    'greeted',
    'publication 1',
    'publication 2',
  ]);
});

it.each([
  ['HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull', 'refused 503 Service Unavailable full'],
  [
    `${head}${chunk('retry: 5000\nevent: unavailable\ndata: {}\n\n')}`,
    'refused 200 OK 29 retry: 5000 event: unavailable data: {}',
  ],
])('an event stream that is refused fails with the reason', (bytes, refusal) => {
  expect(eventsOf(protocols.sse.subscriber, Buffer.from(bytes), 10_000)).toEqual([refusal]);
});

it('an event stream that ends is a failure', () => {
  const events = eventsOf(protocols.sse.subscriber, Buffer.concat([Buffer.from(`${stream}0\r\n\r\n`)]), stream.length);
  expect(events.at(-1)).toBe('refused it ended the stream');
});

const held = (status: string, position: string, body: string): string =>
  `HTTP/1.1 ${status}\r\nfanfare-position: ${position}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const polls = [
  held('200 OK', '7-0', '{"publications":[]}'),
  held('204 No Content', '7-0', ''),
  held('200 OK', '7-2', JSON.stringify({ publications: [{ data: data(1) }, { data: data(2) }] })),
  'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno',
].join('');

it.each([1, 2, 3, 7, 64, 100, 10_000])('long polls are read correctly in pieces of %i bytes', (pieceBytes) => {
  const next = (position: string): string =>
    `reply GET /v1/topics/a/publications?since=${position}&limit=1000&wait=55 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n`;
  expect(eventsOf(protocols['long-poll'].subscriber, Buffer.from(polls), pieceBytes)).toEqual([
    ...[next('7-0'), 'greeted', next('7-0'), 'greeted'],
    ...['publication 1', 'publication 2', next('7-2'), 'greeted', 'refused 403 Forbidden no'],
  ]);
});

it.each([1, 2, 3, 7, 64, 100, 10_000])('answers to POST are read correctly in pieces of %i bytes', (pieceBytes) => {
  const answers = [
    'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"topic":"a"}',
    'HTTP/1.1 207 Multi-Status\r\nContent-Length: 14\r\n\r\n{"results":[]}',
    'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"topic":"a"}',
  ];
  expect(eventsOf(protocols.http.publisher, Buffer.from(answers.join('')), pieceBytes)).toEqual([
    'acknowledged 1',
    'refused 207 Multi-Status {"results":[]}',
    'acknowledged 1',
  ]);
});
