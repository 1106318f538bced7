/** Topics with history: nothing twice, nothing missing, nothing skipped in silence. */
import type { Publication } from '@fanfare/client';
import { describe, expect, it } from 'vitest';
import { maxReads } from '../src/histories.js';
import { connect, record, take } from './harness.js';
import { startTestNode, type TestNode, until } from './test-node.js';

const epoch = 'e1';

/** Subscribes, and writes down all that is told, in order: data of publications, and events. */
function follow(client: ReturnType<typeof connect>, topic: string) {
  const told: unknown[] = [];
  const subscription = client.subscribe(topic, ({ data }: Publication) => told.push(data));
  subscription.on('gap', ({ reason, position }) => told.push(`gap ${reason} ${position?.offset}`));
  subscription.on('reset', ({ position }) => told.push(`reset ${position.epoch} ${position.offset}`));
  subscription.on('subscribed', ({ position, recovered }) => told.push(`at ${position?.offset} ${recovered}`));
  return { told, subscription };
}

/** Cuts the newest connection, and lets things happen before the client is back. */
async function away(node: TestNode, meanwhile: () => void): Promise<void> {
  const connection = node.connections.at(-1);
  node.refuseWith = 503;
  connection?.cut();
  await until(() => connection?.closed !== null);
  meanwhile();
  node.refuseWith = null;
}

describe.each(['msgpack', 'json'] as const)('a client that speaks %s', (encoding) => {
  it('goes on after a reconnect where it stopped', async () => {
    await using node = await startTestNode({ hasHistory: true });
    node.publish('a', 'before');
    await using client = connect(node, { encoding });
    const { told, subscription } = follow(client, 'a');
    await subscription.ready;
    node.publish('a', 1, 2);
    await until(() => told.length === 3);
    await away(node, () => node.publish('a', 3, 4));
    await until(() => told.length === 6);
    node.publish('a', 5);
    await until(() => told.length === 7);
    expect(told).toEqual(['at 1 false', 1, 2, 3, 4, 'at 5 true', 5]);
  });

  it('fetches what was too much for the answer to a subscribe, page by page', async () => {
    await using node = await startTestNode({ hasHistory: true, maxPublications: 4 });
    await using client = connect(node, { encoding });
    const { told, subscription } = follow(client, 'a');
    await subscription.ready;
    const values = Array.from({ length: 30 }, (_, index) => index);
    await away(node, () => node.publish('a', ...values));
    await until(() => told.length === 32);
    expect(told).toEqual(['at 0 false', ...values, 'at 30 true']);
    expect(await (await node.connection(1)).received('history')).toHaveLength(8);
  });

  it('fills a hole, with what comes behind it held back', async () => {
    await using node = await startTestNode({ hasHistory: true });
    await using client = connect(node, { encoding });
    const { told, subscription } = follow(client, 'a');
    await subscription.ready;
    const answers: Array<() => void> = [];
    node.on('history', (_command, _connection, proceed) => answers.push(proceed));
    node.isLost = ({ offset }) => offset === 2 || offset === 3;
    node.publish('a', 1, 2, 3, 4, 5);
    await until(() => answers.length === 1);
    expect(told).toEqual(['at 0 false', 1]);
    expect((await (await node.connection()).received('history'))[0]).toMatchObject({ since: { epoch, offset: 1 } });
    for (const proceed of answers) proceed();
    await until(() => told.length === 6);
    node.publish('a', 6);
    await until(() => told.length === 7);
    expect(told).toEqual(['at 0 false', 1, 2, 3, 4, 5, 6]);
    expect(answers).toHaveLength(1);
  });
});

it('drops what comes twice, and takes the tail of what overlaps', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const { told, subscription } = follow(client, 'a');
  await subscription.ready;
  const connection = await node.connection();
  connection.push('a', [1, 2], { epoch, offset: 1 });
  connection.push('a', [1, 2], { epoch, offset: 1 });
  connection.push('a', [2, 3, 4], { epoch, offset: 2 });
  connection.push('a', [5], { epoch, offset: 5 });
  await until(() => told.at(-1) === 5);
  expect(told).toEqual(['at 0 false', 1, 2, 3, 4, 5]);
  expect(connection.commands.some(({ type }) => type === 'history')).toBe(false);
});

it('holds back no more than its bound, and has the rest from history', async () => {
  await using node = await startTestNode({ hasHistory: true, maxPublications: 2 });
  await using client = connect(node, { maxBufferedPublications: 3 });
  const { told, subscription } = follow(client, 'a');
  await subscription.ready;
  const answers: Array<() => void> = [];
  node.on('history', (_command, _connection, proceed) => answers.push(proceed));
  node.isLost = ({ offset }) => offset === 1;
  node.publish('a', 1, 2, 3, 4, 5, 6, 7, 8);
  await until(() => answers.length === 1);
  node.reset('history');
  answers[0]?.();
  await until(() => told.length === 9);
  expect(told).toEqual(['at 0 false', 1, 2, 3, 4, 5, 6, 7, 8]);
  // Had it held all, the first page would have been enough.
  expect(await (await node.connection()).received('history')).toHaveLength(3);
});

it('tells of what history no longer has, once, before what comes behind it', async () => {
  await using node = await startTestNode({ hasHistory: true, maxPublications: 2 });
  await using client = connect(node);
  const { told, subscription } = follow(client, 'a');
  await subscription.ready;
  node.publish('a', 1);
  await until(() => told.length === 2);
  await away(node, () => {
    node.publish('a', 2, 3, 4, 5, 6, 7);
    node.log('a').forgotten = 4;
  });
  await until(() => told.includes('at 7 false'));
  expect(told).toEqual(['at 0 false', 1, 'gap history 4', 5, 6, 7, 'at 7 false']);
});

it('tells of a new epoch, once, and goes on in it', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const { told, subscription } = follow(client, 'a');
  await subscription.ready;
  node.publish('a', 1);
  await until(() => told.length === 2);
  const log = node.log('a');
  await away(node, () => {
    log.epoch = 'e2';
    node.publish('a', 'unseen');
  });
  await until(() => told.includes('at 2 false'));
  node.publish('a', 3);
  await until(() => told.includes(3));
  log.epoch = 'e3';
  const connection = await node.connection(1);
  connection.resetTopic('a', { epoch: 'e3', offset: 3 });
  node.publish('a', 4);
  await until(() => told.includes(4));
  expect(told).toEqual(['at 0 false', 1, 'reset e2 2', 'at 2 false', 3, 'reset e3 3', 4]);
  // Back again: a node that insists on it is believed, or nothing would ever come.
  await away(node, () => {
    log.epoch = 'e2';
  });
  await until(() => told.includes('at 4 false'));
  node.publish('a', 5);
  await until(() => told.includes(5));
  expect(told.slice(7)).toEqual(['reset e2 4', 'at 4 false', 5]);
});

it('learns of a new epoch from history, too', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const { told, subscription } = follow(client, 'a');
  await subscription.ready;
  node.on('history', (_command, _connection, proceed) => {
    node.log('a').epoch = 'e2';
    proceed();
  });
  node.isLost = ({ offset }) => offset === 1;
  node.publish('a', 1, 2);
  await until(() => told.length === 2);
  node.publish('a', 3);
  await until(() => told.length === 3);
  expect(told).toEqual(['at 0 false', 'reset e2 2', 3]);
});

it('passes on what the node tells: publications that nobody can have', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const { told, subscription } = follow(client, 'a');
  await subscription.ready;
  node.isLost = ({ offset }) => offset < 4;
  node.publish('a', 1, 2, 3);
  (await node.connection()).gap('a', { epoch, offset: 3 });
  node.publish('a', 4);
  await until(() => told.includes(4));
  expect(told).toEqual(['at 0 false', 'gap node 3', 4]);
});

it('asks history again, while it is refused for now', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const { told, subscription } = follow(client, 'a');
  const errors = record(subscription, 'error');
  await subscription.ready;
  let refusals = 0;
  node.on('history', ({ id }, connection, proceed) => {
    if (refusals++ < 3) connection.error(id, 'unavailable');
    else proceed();
  });
  node.isLost = ({ offset }) => offset === 1;
  node.publish('a', 1, 2);
  await until(() => told.length === 3);
  expect(told).toEqual(['at 0 false', 1, 2]);
  expect(refusals).toBe(4);
  expect(errors).toMatchObject(Array(3).fill({ code: 'unavailable' }));
  expect(subscription.state.name).toBe('subscribed');
});

it('reads no more histories at a time than a node does for a connection', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const topics = Array.from({ length: 20 }, (_, index) => `t${index}`);
  const followed = topics.map((topic) => follow(client, topic));
  await Promise.all(followed.map(({ subscription }) => subscription.ready));
  const answers: Array<() => void> = [];
  node.on('history', (_command, _connection, proceed) => answers.push(proceed));
  node.isLost = ({ offset }) => offset === 1;
  for (const topic of topics) node.publish(topic, 1, 2);
  // The answer to this one comes behind all that was pushed.
  await client.publish('other', 1);
  expect(answers).toHaveLength(maxReads);
  for (let asked = maxReads + 1; asked <= topics.length; asked++) {
    answers.shift()?.();
    await until(() => answers.length === maxReads);
  }
  node.reset('history');
  for (const proceed of answers) proceed();
  await until(() => followed.every(({ told }) => told.length === 3));
  for (const { told } of followed) expect(told).toEqual(['at 0 false', 1, 2]);
});

it('asks the next connection at once for what it waits to ask the last one again', async () => {
  await using node = await startTestNode({ hasHistory: true, maxPublications: 1 });
  const delays = [0.99];
  const delayMs = 60_000;
  await using client = connect(node, {
    reconnectBaseDelayMs: delayMs,
    reconnectMaxDelayMs: delayMs,
    random: () => delays.shift() ?? 0,
  });
  const { told, subscription } = follow(client, 'a');
  await subscription.ready;
  node.on('history', ({ id }, connection) => connection.error(id, 'unavailable'));
  node.isLost = ({ offset }) => offset === 1;
  node.publish('a', 1, 2);
  await until(() => delays.length === 0);
  node.reset('history');
  (await node.connection()).cut();
  await until(() => told.length === 4);
  expect(told).toEqual(['at 0 false', 1, 2, 'at 2 true']);
});

it('goes on where history is refused for good', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const { told, subscription } = follow(client, 'a');
  await subscription.ready;
  node.on('history', ({ id }, connection) => connection.error(id, 'noHistory'));
  node.isLost = ({ offset }) => offset === 1;
  node.publish('a', 1, 2);
  await until(() => told.length === 3);
  expect(told).toEqual(['at 0 false', 'gap history 1', 2]);
});

it('reconnects where history is not answered', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, { timeoutMs: 100 });
  const { told, subscription } = follow(client, 'a');
  await subscription.ready;
  const states = record(client, 'state');
  node.on('history', () => {});
  node.isLost = ({ offset }) => offset === 1;
  node.publish('a', 1, 2);
  await until(() => told.length === 4);
  expect(states[0]).toMatchObject({ name: 'connecting', code: 'replyTimeout' });
  expect(told).toEqual(['at 0 false', 1, 2, 'at 2 true']);
});

it('has everything, in spite of all that goes wrong', async () => {
  await using node = await startTestNode({ hasHistory: true, maxPublications: 7 });
  await using client = connect(node);
  const { told, subscription } = follow(client, 'a');
  const heard = (): unknown[] => told.filter((each) => typeof each === 'number');
  await subscription.ready;
  node.isLost = ({ offset }) => offset % 5 === 0;
  let last = 0;
  for (let round = 0; round < 20; round++) {
    for (let index = 0; index < 13; index++) node.publish('a', ++last);
    if (round % 4 === 3) node.connections.at(-1)?.cut();
    else await until(() => heard().length > last - 9);
  }
  node.isLost = null;
  node.publish('a', ++last);
  await until(() => heard().length === last);
  expect(heard()).toEqual(Array.from({ length: last }, (_, index) => index + 1));
  expect(told.some((each) => /gap|reset/.test(String(each)))).toBe(false);
});

it('tells events in order with publications whose schema takes its time', async () => {
  await using node = await startTestNode({ hasHistory: true });
  const slow = {
    '~standard': { version: 1, vendor: 'test', validate: async (value: unknown) => ({ value }) },
  } as const;
  await using client = connect(node, { schemas: { a: slow } } as object);
  const { told, subscription } = follow(client, 'a');
  await subscription.ready;
  node.isLost = ({ offset }) => offset === 3;
  node.publish('a', 1, 2);
  const connection = await node.connection();
  node.publish('a', 3);
  connection.gap('a', { epoch, offset: 3 });
  node.publish('a', 4);
  await until(() => told.includes(4));
  expect(told).toEqual(['at 0 false', 1, 2, 'gap node 3', 4]);
});

it('drain() waits for what history has yet to bring', async () => {
  await using node = await startTestNode({ hasHistory: true });
  const client = connect(node);
  const { told, subscription } = follow(client, 'a');
  await subscription.ready;
  node.isLost = ({ offset }) => offset === 1;
  node.on('unsubscribe', (_command, _connection, proceed) => {
    node.publish('a', 1, 2);
    proceed();
  });
  await client.drain();
  expect(told).toEqual(['at 0 false', 1, 2]);
});

it('drain() does not wait for history when the connection is gone', async () => {
  await using node = await startTestNode({ hasHistory: true });
  const client = connect(node);
  const { told, subscription } = follow(client, 'a');
  await subscription.ready;
  node.isLost = ({ offset }) => offset === 1;
  node.on('history', () => {});
  node.on('unsubscribe', (_command, connection, proceed) => {
    node.publish('a', 1, 2);
    proceed();
    void connection.received('history').then(() => connection.cut());
  });
  await client.drain();
  expect(told).toEqual(['at 0 false']);
});

it('confirms a subscription once, also where a schema takes its time', async () => {
  await using node = await startTestNode({ hasHistory: true });
  const checks: Array<() => void> = [];
  const slow = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value: unknown) => new Promise((resolve) => checks.push(() => resolve({ value }))),
    },
  } as const;
  const plain = { '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } } as const;
  await using client = connect(node, { schemas: { a: slow, b: plain } } as object);
  const { told, subscription } = follow(client, 'a');
  await subscription.ready;
  node.publish('a', 1);
  await until(() => checks.length === 1);
  await away(node, () => {});
  await (await node.connection(1)).received('subscribe');
  // The answer to this one comes behind the confirmation.
  await client.publish('b', 1);
  const second = client.subscribe('a');
  const confirmed = record(second, 'subscribed');
  await second.ready;
  for (const check of checks) check();
  await until(() => told.length === 3);
  expect(told).toEqual(['at 0 false', 1, 'at 1 true']);
  expect(confirmed).toHaveLength(1);
});

it.each([true, false])(
  'tells of no gap before a subscription is first confirmed (with history: %s)',
  async (hasHistory) => {
    await using node = await startTestNode({ hasHistory });
    await using client = connect(node);
    node.on('subscribe', (_command, connection) => connection.cut());
    const { told, subscription } = follow(client, 'a');
    // It tries again at once, and may be cut off again before we look.
    await until(() => node.connections.length >= 2);
    node.reset('subscribe');
    await subscription.ready;
    await client.publish('a', 1);
    await until(() => told.length === 2);
    expect(told).toEqual([hasHistory ? 'at 0 false' : 'at undefined false', 1]);
  },
);

it('gives a second subscription what comes from now on', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const first = client.subscribe('a');
  await first.ready;
  node.publish('a', 1);
  expect(await take(first, 1)).toEqual([1]);
  const second = client.subscribe('a');
  const confirmed = record(second, 'subscribed');
  await second.ready;
  expect(confirmed).toEqual([{ position: { epoch, offset: 1 }, recovered: false }]);
});
