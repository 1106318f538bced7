/** Data checked by schemas of any library. */
import { createClient, type StandardSchemaV1 } from '@fanfare/client';
import { expect, it } from 'vitest';
import { failure, quick, record, take } from './harness.js';
import { startTestNode, until } from './test-node.js';

/** A schema as a library would make it. */
function schema<Input, Output>(
  validate: StandardSchemaV1<Input, Output>['~standard']['validate'],
): StandardSchemaV1<Input, Output> {
  return { '~standard': { version: 1, vendor: 'test', validate } };
}

const text = schema<string, string>((value) =>
  typeof value === 'string' ? { value } : { issues: [{ message: 'not a text', path: ['here'] }] },
);
/** Text on the wire, a date for the subscriber. */
const date = schema<string, Date>((value) => ({ value: new Date(String(value)) }));
/** A slow schema: the larger the number, the slower. */
const slow = schema<number, number>(async (value) => {
  for (let turn = 0; turn < Number(value); turn++) await Promise.resolve();
  return Number(value) >= 0 ? { value: Number(value) } : { issues: [{ message: 'negative' }] };
});
const broken = schema<unknown, unknown>(() => {
  throw new Error('Oops.');
});

const schemas = { 'chat.lobby': text, 'dates.*': date, 'logs.>': text, slow, broken, 'chat.*': date } as const;

it('publish() rejects data that does not match the schema, and sends nothing', async () => {
  await using node = await startTestNode();
  await using client = createClient(node.url, { ...quick, schemas });
  await client.connect();
  const wrong = 1 as unknown as string;
  expect(await failure(client.publish('chat.lobby', wrong))).toMatchObject({
    name: 'DataError',
    code: 'invalidData',
    topic: 'chat.lobby',
    issues: [{ message: 'not a text', path: ['here'] }],
  });
  expect(() => client.send('logs.a.b', wrong)).toThrow(expect.objectContaining({ code: 'invalidData' }));
  expect(await failure(client.publish('broken', 1))).toMatchObject({
    code: 'invalidData',
    message: 'The schema of broken threw: Oops.',
    cause: new Error('Oops.'),
  });
  await client.publish('chat.lobby', 'hello');
  expect(await (await node.connection()).received('publish')).toHaveLength(1);
});

it('the client sends data unchanged, and delivers the output of the schema', async () => {
  await using node = await startTestNode();
  await using client = createClient(node.url, { ...quick, schemas });
  const subscription = client.subscribe('dates.today');
  await subscription.ready;
  await client.publish('dates.today', '2024-02-29T00:00:00.000Z');
  const [first] = await take(subscription, 1);
  expect(first).toEqual(new Date('2024-02-29'));
});

it('a subscription reports data that does not match the schema, does not deliver it, and continues', async () => {
  await using node = await startTestNode();
  await using client = createClient(node.url, { ...quick, schemas });
  const subscription = client.subscribe('chat.lobby');
  const errors = record(subscription, 'error');
  await subscription.ready;
  (await node.connection()).push('chat.lobby', ['one', 2, 'three']);
  expect(await take(subscription, 2)).toEqual(['one', 'three']);
  expect(errors).toEqual([expect.objectContaining({ code: 'invalidData', topic: 'chat.lobby' })]);
});

it('a client with schemas rejects topics without one', async () => {
  await using node = await startTestNode();
  await using client = createClient(node.url, { ...quick, schemas });
  // The compiler does not count segments: `dates.a.b` is a `dates.${string}`.
  expect(await failure(client.publish('dates.a.b', ''))).toMatchObject({ code: 'unknownTopic' });
  expect(() => client.subscribe('dates.a.b')).toThrow(expect.objectContaining({ code: 'unknownTopic' }));
  expect(() => client.send('other' as 'slow', 1)).toThrow(expect.objectContaining({ code: 'unknownTopic' }));
});

it('the client keeps the order of publications if a schema is slow', async () => {
  await using node = await startTestNode();
  await using client = createClient(node.url, { ...quick, schemas });
  const subscription = client.subscribe('slow');
  const errors = record(subscription, 'error');
  await subscription.ready;
  (await node.connection()).push('slow', [50, 0, -1, 10, 3]);
  expect(await take(subscription, 4)).toEqual([50, 0, 10, 3]);
  expect(errors).toHaveLength(1);
  await client.publish('slow', 5);
  expect(await failure(client.publish('slow', -5))).toMatchObject({ code: 'invalidData' });
});

it('the client reports the error of a slow schema for data from send()', async () => {
  await using node = await startTestNode();
  await using client = createClient(node.url, { ...quick, schemas });
  const errors = record(client, 'error');
  client.send('slow', -1);
  await until(() => errors.length === 1);
  expect(errors[0]).toMatchObject({ code: 'invalidData' });
});

it('drain() waits for publications that a slow schema still checks', async () => {
  await using node = await startTestNode();
  const client = createClient(node.url, { ...quick, schemas });
  const heard: unknown[] = [];
  await client.subscribe('slow', ({ data }) => heard.push(data)).ready;
  const connection = await node.connection();
  node.on('unsubscribe', ({ topic }, _connection, proceed) => {
    connection.push(topic, [20, 10, 5]);
    proceed();
  });
  await client.drain();
  expect(heard).toEqual([20, 10, 5]);
});

it('a subscription ends with slowConsumer if its schema does not keep up', async () => {
  await using node = await startTestNode();
  await using client = createClient(node.url, { ...quick, schemas, maxBufferedPublications: 2 });
  const subscription = client.subscribe('slow', () => {});
  subscription.on('error', () => {});
  await subscription.ready;
  (await node.connection()).push('slow', [1_000, 1, 2, 3]);
  await until(() => subscription.state.name === 'unsubscribed');
  expect(subscription.state).toMatchObject({ code: 'slowConsumer' });
});
