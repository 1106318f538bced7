/** Reading a topic's history. */
import { describe, expect, it } from 'vitest';
import { maxReads } from '../src/reads.js';
import { connect, failure, record } from './harness.js';
import { startTestNode, type TestNode, until } from './test-node.js';

const position = (offset: number) => ({ epoch: 'e1', offset });

async function startNode(count: number): Promise<TestNode> {
  const node = await startTestNode({ hasHistory: true, maxPublications: 4 });
  node.publish('a', ...Array.from({ length: count }, (_, index) => index + 1));
  return node;
}

describe.each(['msgpack', 'json'] as const)('a client that speaks %s', (encoding) => {
  it('reads forward from the oldest publication or a position, and backward from the newest', async () => {
    await using node = await startNode(9);
    await using client = connect(node, { encoding });
    const read = async (...options: Parameters<typeof client.history>[1][]) => {
      const { publications, ...rest } = await client.history('a', ...options);
      for (const publication of publications) {
        expect(publication).toEqual({ topic: 'a', data: publication.position?.offset, position: publication.position });
      }
      return { ...rest, data: publications.map(({ data }) => data) };
    };
    const head = { position: position(9), recovered: true };
    expect(await read()).toEqual({ ...head, recovered: false, data: [1, 2, 3, 4] });
    expect(await read({ since: position(4), limit: 2 })).toEqual({ ...head, data: [5, 6] });
    expect(await read({ direction: 'backward', limit: 3 })).toEqual({ ...head, recovered: false, data: [7, 8, 9] });
    expect(await read({ direction: 'backward', since: position(3) })).toEqual({ ...head, data: [1, 2] });
    expect(await read({ since: position(9) })).toEqual({ ...head, data: [] });
    node.log('a').forgotten = 6;
    expect(await read({ since: position(2) })).toEqual({ ...head, recovered: false, data: [7, 8, 9] });
  });

  it('history() rejects if the topic keeps no history', async () => {
    await using node = await startTestNode();
    await using client = connect(node, { encoding });
    expect(await failure(client.history('a'))).toMatchObject({ name: 'ReplyError', code: 'noHistory' });
  });
});

it('history() waits for a connection, and asks again if it breaks', async () => {
  await using node = await startNode(1);
  await using client = connect(node, { autoConnect: false });
  let cuts = 0;
  node.on('history', (_command, connection, proceed) => (cuts++ < 2 ? connection.cut() : proceed()));
  const read = client.history('a');
  await client.connect();
  expect((await read).publications).toHaveLength(1);
  expect(cuts).toBe(3);
});

it('history() rejects invalid arguments, and times out', async () => {
  await using node = await startNode(1);
  const client = connect(node, { timeoutMs: 40 });
  expect(await failure(client.history('a..b'))).toMatchObject({ code: 'invalidTopic' });
  for (const limit of [0, 1_001, 1.5, Number.NaN]) {
    expect(await failure(client.history('a', { limit }))).toMatchObject({ code: 'invalidOption' });
  }
  node.on('history', () => {});
  expect(await failure(client.history('a'))).toMatchObject({ code: 'timeout' });
  const unanswered = failure(client.history('a'));
  await client.close();
  expect(await unanswered).toMatchObject({ name: 'ConnectionError', code: 'closed' });
  expect(await failure(client.history('a'))).toMatchObject({ code: 'closed' });
});

it.each(['msgpack', 'json'] as const)(
  'history() rejects invalid options, and sends no command (%s)',
  async (encoding) => {
    await using node = await startNode(9);
    await using client = connect(node, { encoding });
    const read = (options: object) => failure(client.history('a', options));
    expect(await read({ from: 5 })).toMatchObject({
      code: 'invalidOption',
      message: 'history() has no option "from". Use one of since, limit, direction.',
    });
    for (const since of ['x', 5, {}, { epoch: '', offset: 1 }, position(-1), position(1.5), position(2 ** 53)]) {
      expect(await read({ since })).toMatchObject({
        code: 'invalidOption',
        message: 'since must be the position of a publication: { epoch, offset }.',
      });
    }
    for (const direction of ['sideways', null, 5]) {
      expect(await read({ direction })).toMatchObject({
        code: 'invalidOption',
        message: `direction must be 'forward' or 'backward', not ${direction}.`,
      });
    }
    // Null means absent, as in subscribe().
    const { publications } = await client.history('a', { since: null, limit: undefined, direction: undefined });
    expect(publications).toHaveLength(4);
    expect(await (await node.connection()).received('history')).toHaveLength(1);
  },
);

it('the client sends only as many history commands at a time as a node answers', async () => {
  await using node = await startNode(1);
  await using client = connect(node);
  const answers: Array<() => void> = [];
  node.on('history', (_command, _connection, proceed) => answers.push(proceed));
  const reads = Array.from({ length: 30 }, () => client.history('a'));
  for (let left = 30; left > 0; left--) {
    await until(() => answers.length === Math.min(maxReads, left));
    answers.shift()?.();
  }
  expect(await Promise.all(reads)).toHaveLength(30);
});

it('the client leaves a node that does not reply to history, because the node still counts the command', async () => {
  await using node = await startNode(1);
  await using client = connect(node, { timeoutMs: 100 });
  await client.connect();
  const states = record(client, 'state');
  node.on('history', () => node.reset('history'));
  expect(await failure(client.history('a'))).toMatchObject({ code: 'timeout' });
  await until(() => states.length > 0);
  expect(states[0]).toMatchObject({ name: 'connecting', code: 'replyTimeout' });
});

it('history() checks data with the schema, and leaves out invalid publications', async () => {
  await using node = await startTestNode({ hasHistory: true });
  node.publish('a', 'one', 2, 'three');
  const text = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: async (value: unknown) =>
        typeof value === 'string' ? { value: value.toUpperCase() } : { issues: [{ message: 'not a text' }] },
    },
  } as const;
  await using client = connect(node, { schemas: { a: text } } as object);
  const errors = record(client, 'error');
  const { publications } = await client.history('a');
  expect(publications.map(({ data, position: at }) => [data, at?.offset])).toEqual([
    ['ONE', 1],
    ['THREE', 3],
  ]);
  await until(() => errors.length === 1);
  expect(errors[0]).toMatchObject({ name: 'DataError', code: 'invalidData', topic: 'a' });
  expect(await failure(client.history('b'))).toMatchObject({ code: 'unknownTopic' });
});
