/** Commands in requests, to a server that answers when the test says so: one request at a time, in order. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { expect, it, vi } from 'vitest';
import { type Command, CommandQueue, type Message } from './command-queue.js';

interface Received {
  readonly commands: readonly Command[];
  readonly headers: IncomingMessage['headers'];
  answer(replies: readonly Message[], status?: number): void;
  refuse(problem: object): void;
}

async function start() {
  const received: Received[] = [];
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    const body = (await json(request)) as Command | readonly Command[];
    received.push({
      commands: [body].flat(),
      headers: request.headers,
      answer: (replies, status = 200) =>
        response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(replies)),
      refuse: (problem) =>
        response
          .writeHead(503, { 'Content-Type': 'application/problem+json', 'Retry-After': '2' })
          .end(JSON.stringify(problem)),
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const heard: unknown[] = [];
  const queue = new CommandQueue(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/`, {
    onReply: (reply) => heard.push(reply),
    onRefused: (problem) => heard.push(problem),
    onFailed: (reason) => heard.push(reason),
  });
  return {
    queue,
    heard,
    request: (index: number): Promise<Received> =>
      vi.waitFor(() => received[index] ?? Promise.reject(new Error(`There is no request ${index}.`)), 30_000),
    received,
    async [Symbol.asyncDispose]() {
      queue.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const publish = (id: number, topic = 'a'): Command => ({ type: 'publish', id, topic, messageId: `m${id}` });

it('commands of one turn travel together, later ones in the next request', async () => {
  await using test = await start();
  const { queue } = test;
  queue.maxBodyBytes = 65_536;
  for (const id of [1, 2]) queue.add(publish(id));
  const first = await test.request(0);
  for (const id of [3, 4]) queue.add(publish(id));
  expect(first.commands.map(({ id }) => id)).toEqual([1, 2]);
  expect(test.received).toHaveLength(1);
  expect(queue.bytes).toBeGreaterThan(200);
  first.answer([]);
  expect((await test.request(1)).commands.map(({ id }) => id)).toEqual([3, 4]);
});

it('a publication that waits behind a refused one of its topic is refused, others are not', async () => {
  await using test = await start();
  const { queue } = test;
  queue.maxBodyBytes = 65_536;
  queue.add(publish(1));
  const first = await test.request(0);
  queue.add(publish(2));
  queue.add(publish(3, 'b'));
  queue.add({ type: 'publish', topic: 'a' });
  const error = { type: 'error', id: 1, code: 'unavailable', message: 'Redis.', retryable: true };
  first.answer([error], 207);
  const second = await test.request(1);
  expect(second.commands).toMatchObject([{ id: 3 }, { topic: 'a' }]);
  expect(test.heard).toContainEqual(error);
  expect(test.heard).toContainEqual(
    expect.objectContaining({ type: 'error', id: 2, code: 'unavailable', retryable: true }),
  );
  // A refusal for good is no reason to hold back the next one.
  queue.add(publish(4));
  second.answer([{ type: 'error', id: 3, code: 'notPermitted', message: 'No.', retryable: false }], 207);
  expect((await test.request(2)).commands).toMatchObject([{ id: 4 }]);
});

it.each([
  [true, [2, 5], [3]],
  [false, [], [2, 3]],
])(
  'publications that wait behind a refused request: if retryable is %s, %j are refused',
  async (retryable, refused, sent) => {
    await using test = await start();
    const { queue } = test;
    queue.maxBodyBytes = 65_536;
    queue.add(publish(1));
    queue.add(publish(4, 'c'));
    const first = await test.request(0);
    queue.add(publish(2));
    queue.add(publish(3, 'b'));
    if (retryable) queue.add(publish(5, 'c'));
    first.refuse({ code: 'overloaded', detail: 'Full.', retryable });
    expect((await test.request(1)).commands.map(({ id }) => id)).toEqual(sent);
    const errors = refused.map((id) => expect.objectContaining({ type: 'error', id, code: 'unavailable' }));
    expect(test.heard).toEqual([...errors, expect.objectContaining({ code: 'overloaded', message: 'Full.' })]);
  },
);

it.each([
  ['the problem', { retryAfterMs: 1_234 }, 1_234],
  ['the header if the problem has none', {}, 2_000],
])('when to come back is in %s', async (_, members, retryAfterMs) => {
  await using test = await start();
  test.queue.add(publish(1));
  (await test.request(0)).refuse({ code: 'overloaded', detail: 'Full.', retryable: true, ...members });
  await vi.waitFor(() => expect(test.heard).toEqual([expect.objectContaining({ retryAfterMs })]));
});

it('a publication without a messageId gets one, because browsers repeat requests', async () => {
  await using test = await start();
  test.queue.add({ type: 'publish', topic: 'a' });
  const [command] = (await test.request(0)).commands;
  expect(command?.messageId).toMatch(/^[!-~]{21,64}$/);
});

it('a ping on its own goes to the node, and one behind other commands is answered with them', async () => {
  await using test = await start();
  test.queue.add({ type: 'ping', id: 9 });
  const alone = await test.request(0);
  expect(alone.commands).toEqual([{ type: 'ping', id: 9 }]);
  expect(test.heard).toEqual([]);
  alone.answer([{ type: 'pong', id: 9 }]);
  await vi.waitFor(() => expect(test.heard).toEqual([{ type: 'pong', id: 9 }]));
  test.queue.add(publish(1));
  test.queue.add({ type: 'ping', id: 10 });
  const first = await test.request(1);
  expect(first.commands).toHaveLength(1);
  expect(test.heard).toHaveLength(1);
  first.answer([{ type: 'published', id: 1 }]);
  await vi.waitFor(() =>
    expect(test.heard.slice(1)).toEqual([
      { type: 'published', id: 1 },
      { type: 'pong', id: 10 },
    ]),
  );
});

it('the token is in the header, and no body is longer than the limit', async () => {
  await using test = await start();
  const { queue } = test;
  queue.maxBodyBytes = 200;
  queue.token = 'old';
  queue.add({ type: 'connect', id: 1, token: 'new' });
  for (const id of [2, 3, 4, 5]) queue.add(publish(id));
  const first = await test.request(0);
  expect(first.commands).toEqual([{ type: 'connect', id: 1 }]);
  expect(first.headers).toMatchObject({ authorization: 'Bearer new', 'fanfare-client': 'typescript' });
  first.answer([]);
  const second = await test.request(1);
  expect(second.commands).toHaveLength(3);
  expect(second.headers.authorization).toBe('Bearer old');
  expect(Number(second.headers['content-length'])).toBeLessThanOrEqual(200);
});

it('an answer that is not from a node is a failure', async () => {
  await using test = await start();
  test.queue.add(publish(1));
  (await test.request(0)).answer({ hello: 'world' } as unknown as readonly Message[]);
  await vi.waitFor(() => expect(test.heard).toEqual([expect.stringMatching(/^HTTP 200, but not from a Fanfare node/)]));
});
