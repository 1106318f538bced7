/** Rich data through a real node: between clients with msgpackr, and what other clients on the same topic get. */
import { type Client, createClient, type FanfareError } from '@fanfare/client';
import { createClient as createJsonClient } from '@fanfare/client/json';
import { createClient as createRichClient, type Rich, type RichTopics } from '@fanfare/client/msgpackr';
import { expect, expectTypeOf, it } from 'vitest';
import { startNode } from '../broker/test/harness.js';
import { TestConnection } from '../broker/test/test-connection.js';

const rich = {
  map: new Map<unknown, unknown>([
    ['a', 1],
    [2, { b: new Map([[3, 'c']]) }],
  ]),
  set: new Set([1, 'two']),
  at: new Date(1_790_000_000_123),
  bytes: Uint8Array.of(1, 2, 3),
  samples: new Float64Array([1.5, -2]),
  error: new TypeError('wrong', { cause: 'a reason' }),
  pattern: /a+/g,
  count: 2n ** 70n,
  list: [undefined, null],
};

/** Everything that a subscription emits, in order: data, and the codes of errors. */
async function listen(client: Client, topic: string, last?: number): Promise<unknown[]> {
  const heard: unknown[] = [];
  const subscription = client.subscribe(topic, { last }, ({ data }) => heard.push(data));
  subscription.on('error', ({ code, message }: FanfareError) => heard.push([code, message]));
  await subscription.ready;
  return heard;
}

const undecodable = ['undecodable', 'A publication to prices cannot be represented in the encoding of this client.'];

it('rich data reaches live subscribers, late subscribers and history readers', async () => {
  await using node = await startNode({});
  await using publisher = createRichClient(node.url);
  await using reader = createRichClient(node.url);
  const heard = await listen(reader, 'prices');
  const values = [rich, new Map([['a', { b: 1 }]]), new Set(), 2n ** 64n, undefined];
  for (const value of values) await publisher.publish('prices', value);
  publisher.send('prices', 'end');
  const expected = [rich, new Map([['a', { b: 1 }]]), new Set(), 2n ** 64n, null, 'end'];
  await expect.poll(() => heard).toHaveLength(expected.length);
  expect(heard).toStrictEqual(expected);
  // These have seen no earlier payload.
  await using late = createRichClient(node.url);
  expect(await listen(late, 'prices', 5)).toStrictEqual(expected.slice(1));
  await using historian = createRichClient(node.url);
  const { publications } = await historian.history('prices', { limit: 2 });
  expect(publications.map(({ data }) => data)).toStrictEqual(expected.slice(0, 2));
});

it('other clients on the topic read plain data, get an error for the rest, and miss nothing', async () => {
  await using node = await startNode({});
  await using publisher = createRichClient(node.url);
  await using strict = createClient(node.url);
  await using json = createJsonClient(node.url);
  const clients = [strict, json as unknown as Client];
  const heard = await Promise.all(clients.map((client) => listen(client, 'prices')));
  const plain = { bid: 1, at: new Date(1_790_000_000_000), more: { list: [true, null] }, left: undefined };
  const values = [plain, rich, new Map([['a', 1]]), { set: new Set() }, 'end'];
  for (const value of values) await publisher.publish('prices', value);
  const { left: _, ...asRead } = plain;
  const rest = [undecodable, undecodable, undecodable, 'end'];
  await expect.poll(() => heard.map((list) => list.length)).toEqual([5, 5]);
  expect(heard[0]).toStrictEqual([asRead, ...rest]);
  expect(heard[1]).toStrictEqual([{ ...asRead, at: '2026-09-21T14:13:20Z' }, ...rest]);
  // The history too.
  expect(await listen(strict, 'prices', 5)).toStrictEqual(heard[0]);
});

it('data of other clients arrives as they sent it', async () => {
  await using node = await startNode({});
  await using reader = createRichClient(node.url);
  await using strict = createClient(node.url);
  await using json = createJsonClient(node.url);
  const heard = await listen(reader, 'prices');
  await strict.publish('prices', { at: new Date(5), bytes: Uint8Array.of(1), now: 1_790_000_000_123, long: 2n ** 60n });
  await json.publish('prices', { from: 'json', list: [1, 'ü'] });
  await expect.poll(() => heard).toHaveLength(2);
  expect(heard).toStrictEqual([
    { at: new Date(5), bytes: Uint8Array.of(1), now: 1_790_000_000_123, long: 2n ** 60n },
    { from: 'json', list: [1, 'ü'] },
  ]);
});

it('data that msgpackr cannot carry rejects with a sentence, and the client continues', async () => {
  await using node = await startNode({});
  await using client = createRichClient(node.url);
  const loop: unknown[] = [];
  loop.push(new Map([['loop', loop]]));
  await expect(client.publish('a', { late: Promise.resolve() })).rejects.toMatchObject({
    code: 'invalidData',
    message: 'The data for a cannot be encoded: msgpackr cannot carry Promise. Convert it first.',
  });
  await expect(client.publish('a', loop)).rejects.toMatchObject({
    code: 'invalidData',
    message: 'The data for a cannot be encoded: It contains itself, or is nested too deep.',
  });
  expect(() => client.send('a', [Symbol('s')])).toThrow(expect.objectContaining({ code: 'invalidData' }));
  await client.publish('a', new Set([1]));
});

it('bytes of a hostile publisher cause an error event, and the next publication arrives', async () => {
  await using node = await startNode({});
  await using reader = createRichClient(node.url);
  await using publisher = createRichClient(node.url);
  const heard = await listen(reader, 'prices');
  const bad = [
    ...[[], [0x92, 1], [0xc9, 0, 0, 0, 9, 0x4d], [0xc7, 1, 0x4e, 0], [0xd4, 0x70, 0]],
    Array.from({ length: 60_000 }, () => 0x91),
  ];
  await using hostile = await TestConnection.open(node.url);
  const topic = Buffer.from('prices');
  for (const bytes of bad) {
    // [4, nil, topic, data], as PROTOCOL.md section 5.2 says.
    const head = Uint8Array.of(
      0x94,
      4,
      0xc0,
      0xa0 | topic.length,
      ...topic,
      0xc5,
      bytes.length >> 8,
      bytes.length & 0xff,
    );
    hostile.sendRaw(Uint8Array.from([...head, ...bytes]));
  }
  await expect.poll(() => heard).toHaveLength(bad.length);
  await publisher.publish('prices', new Map([['fine', true]]));
  await expect.poll(() => heard).toHaveLength(bad.length + 1);
  expect(heard).toStrictEqual([...bad.map(() => undecodable), new Map([['fine', true]])]);
});

it('the types permit what msgpackr carries', () => {
  interface Topics {
    quotes: Map<string, { readonly bid: number; readonly at: Date }>;
    rest: { samples: Float64Array; seen: Set<bigint>; failure?: Error; left: undefined };
    [topic: `logs.${string}`]: readonly (string | RegExp)[];
  }
  expectTypeOf<Topics>().toExtend<RichTopics<Topics>>();
  expectTypeOf<Rich<unknown>>().toEqualTypeOf<unknown>();
  const typed = createRichClient<Topics>('ws://127.0.0.1:1/ws', { autoConnect: false });
  typed.subscribe('quotes', ({ data }) => expectTypeOf(data.get('BTC')?.at).toEqualTypeOf<Date | undefined>());
  // @ts-expect-error: a function cannot be sent.
  createRichClient<{ a: () => void }>('ws://127.0.0.1:1/ws');
  // @ts-expect-error: nor an object with methods, in a map.
  createRichClient<{ a: Map<string, { run(): void }> }>('ws://127.0.0.1:1/ws');
  // @ts-expect-error: nor a promise, in an array.
  createRichClient<{ a: Promise<number>[] }>('ws://127.0.0.1:1/ws');
  // @ts-expect-error: this entry speaks MessagePack only.
  expect(() => createRichClient('ws://127.0.0.1:1/ws', { encoding: 'json' })).toThrow('msgpack, not json');
});
