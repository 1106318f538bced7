/**
 * The checker's clients over HTTP, against servers that behave badly: what a node must not do is found, and what it may
 * do is handled as the documentation says.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { EventParser } from '../src/checker/event-stream-client.js';
import { httpPlace } from '../src/checker/http-exchange.js';
import { HttpPublisher } from '../src/checker/http-publisher.js';
import { type HttpKind, HttpSubscribers } from '../src/checker/http-subscribers.js';
import { numbered } from '../src/checker/numbered.js';
import { TopicOrder } from '../src/checker/topic-order.js';

type Handler = (request: IncomingMessage, response: ServerResponse, turn: number) => unknown;

/** A server that handles each request with its number, from 0. */
async function serving(handler: Handler) {
  let turn = 0;
  const server = createServer((request, response) => void handler(request, response, turn++));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    place: httpPlace([`ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`], null),
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function problem(response: ServerResponse, status: number, code: string, maybeDelivered: boolean, retryable = true) {
  response.writeHead(status, { 'Content-Type': 'application/problem+json', 'Retry-After': '0' });
  response.end(JSON.stringify({ status, code, detail: 'As the test wants.', retryable, maybeDelivered }));
}

const item = (n: number) => numbered(0, n, 0, '');

it('a publisher repeats an unknown outcome with the same key, before it sends the next publication', async () => {
  const seen: string[] = [];
  await using server = await serving(async (request, response, turn) => {
    const key = String(request.headers['idempotency-key']);
    const { n } = JSON.parse(await text(request)) as { n: number };
    seen.push(`${n} ${key}`);
    if (turn === 0) return problem(response, 504, 'unconfirmed', true);
    if (turn === 1) return response.destroy();
    if (turn === 2) return problem(response, 503, 'unavailable', false);
    response.end(JSON.stringify({ topic: 't', epoch: 'e', offset: n, messageId: key, duplicate: n === 1 }));
  });
  await using publisher = new HttpPublisher(server.place, 'recoverable');
  const answers = await Promise.all([publisher.publish('verify.t', item(1)), publisher.publish('verify.t', item(2))]);
  expect(answers).toEqual([{ position: { epoch: 'e', offset: 1 } }, { position: { epoch: 'e', offset: 2 } }]);
  expect(seen.map((each) => each.split(' ')[0])).toEqual(['1', '1', '1', '1', '2']);
  expect(new Set(seen).size).toBe(2);
});

it.each([
  ['recoverable', 413, 'contentTooLarge', false, false, false],
  // Nothing can be deduplicated, so a repeat could be a duplicate.
  ['fast', 504, 'unconfirmed', true, true, true],
] as const)('a publisher gives up: %s, %i', async (level, status, code, maybe, retryable, maybeDelivered) => {
  let requests = 0;
  await using server = await serving((_, response) => {
    requests++;
    problem(response, status, code, maybe, retryable);
  });
  await using publisher = new HttpPublisher(server.place, level);
  await expect(publisher.publish('verify.t', item(1))).rejects.toMatchObject({ code, maybeDelivered });
  expect(requests).toBe(1);
});

it('a publisher finds an answer with another messageId', async () => {
  await using server = await serving((_, response) =>
    response.end(JSON.stringify({ topic: 't', epoch: 'e', offset: 1, messageId: 'other', duplicate: false })),
  );
  await using publisher = new HttpPublisher(server.place, 'recoverable');
  const outcome = publisher.publish('verify.t', item(1));
  await expect(outcome).rejects.toMatchObject({ code: 'wrong answer: another messageId', maybeDelivered: true });
});

it.each([1, 2, 3, 1_000])('an event stream is parsed in pieces of %i characters', (length) => {
  const stream = ':\n\nretry: 10\nid: a-0\ndata:\n\nevent: gap\ndata: {\ndata:}\r\nid:a-1\r\n\r\nid: a-2\n\ndata: x';
  const events: unknown[] = [];
  const parser = new EventParser(
    (event) => events.push(event),
    (retryMs) => events.push(retryMs),
  );
  for (let at = 0; at < stream.length; at += length) parser.push(stream.slice(at, at + length));
  expect(events).toEqual([10, { name: 'message', data: '', id: 'a-0' }, { name: 'gap', data: '{\n}', id: 'a-1' }]);
});

/** Subscribes to one topic with one stream, waits until number 3 has arrived, and judges. */
async function judged(kind: HttpKind, handler: Handler) {
  await using server = await serving(handler);
  // All three are published once the subscription is confirmed.
  let isConfirmed = false;
  const published = (): number => {
    const count = isConfirmed ? 3 : 0;
    isConfirmed = true;
    return count;
  };
  const plan = { topic: 'verify.t', streams: [0], order: new TopicOrder(64) } as const;
  const more = { place: server.place, silenceMs: 2_000, name: 'one', topicsOfClients: [[plan]], published };
  await using subscribers = await HttpSubscribers.open({ kind, ...more });
  await subscribers.catchUp(new Map([[0, 3]]), { idleMs: 5_000, maxMs: 10_000 });
  const ledger = { published: 3, lastAcknowledged: 3, refused: [], unknown: [] };
  const { findings } = await subscribers.judge(new Map([[0, ledger]]));
  return Object.fromEntries(Object.entries(findings).filter(([, count]) => typeof count === 'number' && count > 0));
}

const streamHead = { 'Content-Type': 'text/event-stream' };
const begun = (offset: number): string => `retry: 20\nevent: ready\ndata: {}\nid: e-${offset}\n\n`;
const event = (n: number, offset = n): string => `data: ${JSON.stringify(item(n))}\nid: e-${offset}\n\n`;

it('an event stream that breaks continues after the last id', async () => {
  const ids: unknown[] = [];
  const found = await judged('event-stream', (request, response, turn) => {
    ids.push(request.headers['last-event-id']);
    response.writeHead(200, streamHead);
    if (turn === 0) response.write(begun(0) + event(1), () => setTimeout(() => response.destroy(), 20));
    else if (turn === 1) response.end('retry: 20\nid: e-1\nevent: unavailable\ndata: {"code":"draining"}\n\n');
    else response.write(begun(1) + event(2) + event(3));
  });
  expect(ids).toEqual([undefined, 'e-1', 'e-1']);
  expect(found).toEqual({ delivered: 3 });
});

it.each([
  ['lost', [event(1), event(3)], { delivered: 2, lost: 1, silentGaps: 1 }],
  ['repeated', [event(1), event(1), event(2), event(3)], { delivered: 4, duplicates: 1 }],
  ['without an id', [event(1), 'data: "x"\n\n', event(2), event(3)], { delivered: 3, corrupt: 1 }],
  ['with the id of another one', [event(1), event(2, 5), event(3)], { delivered: 3, silentGaps: 1, outOfOrder: 1 }],
  [
    'lost, and the stream reports it',
    [event(1), 'event: gap\ndata: {"topic":"verify.t","epoch":"e","offset":2}\nid: e-2\n\n', event(3)],
    { delivered: 2, lostButReported: 1, reportedGaps: 1 },
  ],
  [
    'not decodable',
    [event(1), event(2), 'event: undecodable\ndata: {"topic":"verify.t"}\nid: e-3\n\n', event(3, 4)],
    { delivered: 3, corrupt: 1, silentGaps: 1 },
  ],
] as const)('an event stream with a publication that is %s', async (_, events, expected) => {
  const handler: Handler = (__, response) => response.writeHead(200, streamHead).write(begun(0) + events.join(''));
  expect(await judged('event-stream', handler)).toEqual(expected);
});

/** Answers polls of the history with these pages in turn; then it holds the request. */
function pages(...given: readonly (readonly [position: string, recovered: boolean, numbers: readonly number[]])[]) {
  const asked: string[] = [];
  const handler: Handler = (request, response, turn) => {
    asked.push(new URL(request.url ?? '', 'http://x').search);
    const page = given[turn];
    if (page === undefined) return;
    const [position, recovered, numbers] = page;
    const publications = numbers.map((n) => ({ offset: n, data: item(n) }));
    response.writeHead(numbers.length === 0 && turn > 0 ? 204 : 200, { 'Fanfare-Position': position });
    response.end(JSON.stringify({ topic: 'verify.t', epoch: 'e', recovered, publications, next: position }));
  };
  return { handler, asked };
}

it('long polls of a history go on after the position of the last answer', async () => {
  const { handler, asked } = pages(['e-0', true, []], ['e-0', true, []], ['e-2', true, [1, 2]], ['e-3', true, [3]]);
  expect(await judged('history-poll', handler)).toEqual({ delivered: 3 });
  expect(asked.slice(0, 4)).toEqual(['?since=now', ...['e-0', 'e-0', 'e-2'].map((at) => `?since=${at}&wait=5`)]);
});

it('long polls of a history find what is missing, and know when it was reported', async () => {
  const silent = pages(['e-0', true, []], ['e-3', true, [1, 3]]);
  const missing = await judged('history-poll', silent.handler);
  expect(missing).toEqual({ delivered: 2, lost: 1, silentGaps: 1 });
  const honest = pages(['e-0', true, []], ['e-3', false, [3]]);
  const reported = await judged('history-poll', honest.handler);
  expect(reported).toEqual({ delivered: 1, lostButReported: 2, reportedGaps: 1 });
});

it('long polls of events have envelopes, and begin the next one at once', async () => {
  const paths: string[] = [];
  const envelope = (n: number): string =>
    `data: ${JSON.stringify({ topic: 'verify.t', epoch: 'e', offset: n, data: item(n) })}\nid: e-${n}\n\n`;
  const found = await judged('event-poll', (request, response, turn) => {
    paths.push(request.url ?? '');
    response.writeHead(200, streamHead).write(begun(turn));
    if (turn < 3) response.end(envelope(turn + 1));
  });
  expect(found).toEqual({ delivered: 3 });
  expect(paths[0]).toBe('/v1/events?topic=verify.t&wait=5&envelope=1');
});

it('a subscriber that is refused ends with the reason', async () => {
  const handler: Handler = (_, response) => problem(response, 403, 'notPermitted', false, false);
  for (const kind of ['event-stream', 'event-poll', 'history-poll'] as const) {
    await expect(judged(kind, handler)).rejects.toThrow('one: 403 notPermitted: As the test wants.');
  }
});
