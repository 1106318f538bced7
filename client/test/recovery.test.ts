/** Topics with history: no publication twice, none missing, and none skipped without an event. */
import type { Publication } from '@fanfare/client';
import { describe, expect, it } from 'vitest';
import { maxReads } from '../src/reads.js';
import { connect, record, take } from './harness.js';
import { startTestNode, type TestNode, until } from './test-node.js';

const epoch = 'e1';

/** Subscribes, and records in order the data of publications and the events. */
function follow(client: ReturnType<typeof connect>, topic: string) {
  const events: unknown[] = [];
  const subscription = client.subscribe(topic, ({ data }: Publication) => events.push(data));
  subscription.on('gap', ({ reason, position }) => events.push(`gap ${reason} ${position?.offset}`));
  subscription.on('reset', ({ position }) => events.push(`reset ${position.epoch} ${position.offset}`));
  subscription.on('subscribed', ({ position, recovered }) => events.push(`at ${position?.offset} ${recovered}`));
  return { events, subscription };
}

/** Cuts the newest connection, and calls `meanwhile` before the client can reconnect. */
async function away(node: TestNode, meanwhile: () => void): Promise<void> {
  const connection = node.connections.at(-1);
  node.refuseWith = 503;
  connection?.cut();
  await until(() => connection?.closed !== null);
  meanwhile();
  node.refuseWith = null;
}

describe.each(['msgpack', 'json'] as const)('a client that speaks %s', (encoding) => {
  it('continues after a reconnect where it stopped', async () => {
    await using node = await startTestNode({ hasHistory: true });
    node.publish('a', 'before');
    await using client = connect(node, { encoding });
    const { events, subscription } = follow(client, 'a');
    await subscription.ready;
    node.publish('a', 1, 2);
    await until(() => events.length === 3);
    await away(node, () => node.publish('a', 3, 4));
    await until(() => events.length === 6);
    node.publish('a', 5);
    await until(() => events.length === 7);
    expect(events).toEqual(['at 1 false', 1, 2, 3, 4, 'at 5 true', 5]);
  });

  it('fetches missed publications page by page if the reply to a subscribe cannot hold them', async () => {
    await using node = await startTestNode({ hasHistory: true, maxPublications: 4 });
    await using client = connect(node, { encoding });
    const { events, subscription } = follow(client, 'a');
    await subscription.ready;
    const values = Array.from({ length: 30 }, (_, index) => index);
    await away(node, () => node.publish('a', ...values));
    await until(() => events.length === 32);
    expect(events).toEqual(['at 0 false', ...values, 'at 30 true']);
    expect(await (await node.connection(1)).received('history')).toHaveLength(8);
  });

  it('fills a hole, and holds back later publications until then', async () => {
    await using node = await startTestNode({ hasHistory: true });
    await using client = connect(node, { encoding });
    const { events, subscription } = follow(client, 'a');
    await subscription.ready;
    const answers: Array<() => void> = [];
    node.on('history', (_command, _connection, proceed) => answers.push(proceed));
    node.isLost = ({ offset }) => offset === 2 || offset === 3;
    node.publish('a', 1, 2, 3, 4, 5);
    await until(() => answers.length === 1);
    expect(events).toEqual(['at 0 false', 1]);
    expect((await (await node.connection()).received('history'))[0]).toMatchObject({ since: { epoch, offset: 1 } });
    for (const proceed of answers) proceed();
    await until(() => events.length === 6);
    node.publish('a', 6);
    await until(() => events.length === 7);
    expect(events).toEqual(['at 0 false', 1, 2, 3, 4, 5, 6]);
    expect(answers).toHaveLength(1);
  });
});

it('a reset listener may end the only subscription and subscribe again', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const { subscription } = follow(client, 'a');
  await subscription.ready;
  const data: unknown[] = [];
  subscription.on('reset', () => {
    subscription.unsubscribe();
    client.subscribe('a', { last: 5 }, (publication) => data.push(publication.data));
  });
  await away(node, () => {
    node.log('a').epoch = 'e2';
    node.publish('a', 1);
  });
  await until(() => data.length === 1);
  await client.publish('a', 2);
  await until(() => data.length === 2);
  expect(data).toEqual([1, 2]);
  // The ended subscription sends nothing more: a node would refuse its command, and a later unsubscribe would end the new one.
  const connection = await node.connection(1);
  expect(await connection.received('subscribe')).toHaveLength(2);
  expect(await connection.received('unsubscribe')).toHaveLength(1);
});

it('a subscription drops repeated publications, and delivers the new part of a push that overlaps', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const { events, subscription } = follow(client, 'a');
  await subscription.ready;
  const connection = await node.connection();
  connection.push('a', [1, 2], { epoch, offset: 1 });
  connection.push('a', [1, 2], { epoch, offset: 1 });
  connection.push('a', [2, 3, 4], { epoch, offset: 2 });
  connection.push('a', [5], { epoch, offset: 5 });
  await until(() => events.at(-1) === 5);
  expect(events).toEqual(['at 0 false', 1, 2, 3, 4, 5]);
  expect(connection.commands.some(({ type }) => type === 'history')).toBe(false);
});

it('a subscription holds back publications up to its limit, and reads the rest from the history', async () => {
  await using node = await startTestNode({ hasHistory: true, maxPublications: 2 });
  await using client = connect(node, { maxBufferedPublications: 3 });
  const { events, subscription } = follow(client, 'a');
  await subscription.ready;
  const answers: Array<() => void> = [];
  node.on('history', (_command, _connection, proceed) => answers.push(proceed));
  node.isLost = ({ offset }) => offset === 1;
  node.publish('a', 1, 2, 3, 4, 5, 6, 7, 8);
  await until(() => answers.length === 1);
  node.reset('history');
  answers[0]?.();
  await until(() => events.length === 9);
  expect(events).toEqual(['at 0 false', 1, 2, 3, 4, 5, 6, 7, 8]);
  // If the client had held all publications, one page would have been enough.
  expect(await (await node.connection()).received('history')).toHaveLength(3);
});

it('a subscription gets one gap event for publications that the history no longer has, before later ones', async () => {
  await using node = await startTestNode({ hasHistory: true, maxPublications: 2 });
  await using client = connect(node);
  const { events, subscription } = follow(client, 'a');
  await subscription.ready;
  node.publish('a', 1);
  await until(() => events.length === 2);
  await away(node, () => {
    node.publish('a', 2, 3, 4, 5, 6, 7);
    node.log('a').forgotten = 4;
  });
  await until(() => events.includes('at 7 false'));
  expect(events).toEqual(['at 0 false', 1, 'gap history 4', 5, 6, 7, 'at 7 false']);
});

it('a subscription gets one reset event for a new epoch, and continues in it', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const { events, subscription } = follow(client, 'a');
  await subscription.ready;
  node.publish('a', 1);
  await until(() => events.length === 2);
  const log = node.log('a');
  await away(node, () => {
    log.epoch = 'e2';
    node.publish('a', 'unseen');
  });
  await until(() => events.includes('at 2 false'));
  node.publish('a', 3);
  await until(() => events.includes(3));
  log.epoch = 'e3';
  const connection = await node.connection(1);
  connection.resetTopic('a', { epoch: 'e3', offset: 3 });
  node.publish('a', 4);
  await until(() => events.includes(4));
  expect(events).toEqual(['at 0 false', 1, 'reset e2 2', 'at 2 false', 3, 'reset e3 3', 4]);
  // Back to an earlier epoch: the client accepts it after a reconnect, or it would drop everything from now on.
  await away(node, () => {
    log.epoch = 'e2';
  });
  await until(() => events.includes('at 4 false'));
  node.publish('a', 5);
  await until(() => events.includes(5));
  expect(events.slice(7)).toEqual(['reset e2 4', 'at 4 false', 5]);
});

it('a subscription also learns of a new epoch from a history reply', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const { events, subscription } = follow(client, 'a');
  await subscription.ready;
  node.on('history', (_command, _connection, proceed) => {
    node.log('a').epoch = 'e2';
    proceed();
  });
  node.isLost = ({ offset }) => offset === 1;
  node.publish('a', 1, 2);
  await until(() => events.length === 2);
  node.publish('a', 3);
  await until(() => events.length === 3);
  expect(events).toEqual(['at 0 false', 'reset e2 2', 3]);
});

it('a subscription gets a gap event if the node reports lost publications', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const { events, subscription } = follow(client, 'a');
  await subscription.ready;
  node.isLost = ({ offset }) => offset < 4;
  node.publish('a', 1, 2, 3);
  (await node.connection()).gap('a', { epoch, offset: 3 });
  node.publish('a', 4);
  await until(() => events.includes(4));
  expect(events).toEqual(['at 0 false', 'gap node 3', 4]);
});

it('the client repeats a history command that is refused for now', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const { events, subscription } = follow(client, 'a');
  const errors = record(subscription, 'error');
  await subscription.ready;
  let refusals = 0;
  node.on('history', ({ id }, connection, proceed) => {
    if (refusals++ < 3) connection.error(id, 'unavailable');
    else proceed();
  });
  node.isLost = ({ offset }) => offset === 1;
  node.publish('a', 1, 2);
  await until(() => events.length === 3);
  expect(events).toEqual(['at 0 false', 1, 2]);
  expect(refusals).toBe(4);
  expect(errors).toMatchObject(Array(3).fill({ code: 'unavailable' }));
  expect(subscription.state.name).toBe('subscribed');
});

it('the client sends only as many history commands at a time as a node carries out for a connection', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const topics = Array.from({ length: 20 }, (_, index) => `t${index}`);
  const followed = topics.map((topic) => follow(client, topic));
  await Promise.all(followed.map(({ subscription }) => subscription.ready));
  const answers: Array<() => void> = [];
  node.on('history', (_command, _connection, proceed) => answers.push(proceed));
  node.isLost = ({ offset }) => offset === 1;
  for (const topic of topics) node.publish(topic, 1, 2);
  // The reply to this publish arrives after all pushes.
  await client.publish('other', 1);
  expect(answers).toHaveLength(maxReads);
  for (let asked = maxReads + 1; asked <= topics.length; asked++) {
    answers.shift()?.();
    await until(() => answers.length === maxReads);
  }
  node.reset('history');
  for (const proceed of answers) proceed();
  await until(() => followed.every(({ events }) => events.length === 3));
  for (const { events } of followed) expect(events).toEqual(['at 0 false', 1, 2]);
});

it('after a reconnect, the client repeats a refused history command at once', async () => {
  await using node = await startTestNode({ hasHistory: true, maxPublications: 1 });
  const delays = [0.99];
  const delayMs = 60_000;
  await using client = connect(node, {
    reconnectBaseDelayMs: delayMs,
    reconnectMaxDelayMs: delayMs,
    random: () => delays.shift() ?? 0,
  });
  const { events, subscription } = follow(client, 'a');
  await subscription.ready;
  node.on('history', ({ id }, connection) => connection.error(id, 'unavailable'));
  node.isLost = ({ offset }) => offset === 1;
  node.publish('a', 1, 2);
  await until(() => delays.length === 0);
  node.reset('history');
  (await node.connection()).cut();
  await until(() => events.length === 4);
  expect(events).toEqual(['at 0 false', 1, 2, 'at 2 true']);
});

it('a subscription gets a gap event and continues if history is refused for good', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const { events, subscription } = follow(client, 'a');
  await subscription.ready;
  node.on('history', ({ id }, connection) => connection.error(id, 'noHistory'));
  node.isLost = ({ offset }) => offset === 1;
  node.publish('a', 1, 2);
  await until(() => events.length === 3);
  expect(events).toEqual(['at 0 false', 'gap history 1', 2]);
});

it('the client reconnects if a history command gets no reply', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, { timeoutMs: 100 });
  const { events, subscription } = follow(client, 'a');
  await subscription.ready;
  const states = record(client, 'state');
  node.on('history', () => {});
  node.isLost = ({ offset }) => offset === 1;
  node.publish('a', 1, 2);
  await until(() => events.length === 4);
  expect(states[0]).toMatchObject({ name: 'connecting', code: 'replyTimeout' });
  expect(events).toEqual(['at 0 false', 1, 2, 'at 2 true']);
});

it('a subscription receives everything in spite of lost pushes and broken connections', async () => {
  await using node = await startTestNode({ hasHistory: true, maxPublications: 7 });
  await using client = connect(node);
  const { events, subscription } = follow(client, 'a');
  const heard = (): unknown[] => events.filter((each) => typeof each === 'number');
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
  expect(events.some((each) => /gap|reset/.test(String(each)))).toBe(false);
});

it('a subscription gets events and publications in order, even if the schema is slow', async () => {
  await using node = await startTestNode({ hasHistory: true });
  const slow = {
    '~standard': { version: 1, vendor: 'test', validate: async (value: unknown) => ({ value }) },
  } as const;
  await using client = connect(node, { schemas: { a: slow } } as object);
  const { events, subscription } = follow(client, 'a');
  await subscription.ready;
  node.isLost = ({ offset }) => offset === 3;
  node.publish('a', 1, 2);
  const connection = await node.connection();
  node.publish('a', 3);
  connection.gap('a', { epoch, offset: 3 });
  node.publish('a', 4);
  await until(() => events.includes(4));
  expect(events).toEqual(['at 0 false', 1, 2, 'gap node 3', 4]);
});

it('drain() waits for missing publications from the history', async () => {
  await using node = await startTestNode({ hasHistory: true });
  const client = connect(node);
  const { events, subscription } = follow(client, 'a');
  await subscription.ready;
  node.isLost = ({ offset }) => offset === 1;
  node.on('unsubscribe', (_command, _connection, proceed) => {
    node.publish('a', 1, 2);
    proceed();
  });
  await client.drain();
  expect(events).toEqual(['at 0 false', 1, 2]);
});

it('drain() does not wait for history when the connection is gone', async () => {
  await using node = await startTestNode({ hasHistory: true });
  const client = connect(node);
  const { events, subscription } = follow(client, 'a');
  await subscription.ready;
  node.isLost = ({ offset }) => offset === 1;
  node.on('history', () => {});
  node.on('unsubscribe', (_command, connection, proceed) => {
    node.publish('a', 1, 2);
    proceed();
    void connection.received('history').then(() => connection.cut());
  });
  await client.drain();
  expect(events).toEqual(['at 0 false']);
});

it('a second subscription to a topic is confirmed once, even if a schema is slow', async () => {
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
  const { events, subscription } = follow(client, 'a');
  await subscription.ready;
  node.publish('a', 1);
  await until(() => checks.length === 1);
  await away(node, () => {});
  await (await node.connection(1)).received('subscribe');
  // The reply to this publish arrives after the confirmation.
  await client.publish('b', 1);
  const second = client.subscribe('a');
  const confirmed = record(second, 'subscribed');
  await second.ready;
  for (const check of checks) check();
  await until(() => events.length === 3);
  expect(events).toEqual(['at 0 false', 1, 'at 1 true']);
  expect(confirmed).toHaveLength(1);
});

it.each([true, false])(
  'a subscription gets no gap event before it is first confirmed (with history: %s)',
  async (hasHistory) => {
    await using node = await startTestNode({ hasHistory });
    await using client = connect(node);
    node.on('subscribe', (_command, connection) => connection.cut());
    const { events, subscription } = follow(client, 'a');
    // The client retries at once, and may be cut off again before this check.
    await until(() => node.connections.length >= 2);
    node.reset('subscribe');
    await subscription.ready;
    await client.publish('a', 1);
    await until(() => events.length === 2);
    expect(events).toEqual([hasHistory ? 'at 0 false' : 'at undefined false', 1]);
  },
);

it('a second subscription to a topic receives only later publications', async () => {
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
