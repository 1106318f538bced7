/** Promises that the application does not await: a failure is an unhandled rejection, never silent. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { connect, failure } from './harness.js';
import { startTestNode } from './test-node.js';

/**
 * Runs a script with a client in its own process. Returns the codes of its unhandled rejections, and its other output.
 */
async function run(url: string, body: string) {
  const script = `
    const { createClient } = await import('@fanfare/client');
    process.on('unhandledRejection', (error) => console.log('unhandled', error.code));
    const client = createClient('${url}', { reconnectBaseDelayMs: 1 });
    ${body}
  `;
  const args = ['--input-type=module', '--eval', script];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });
  return { printed: stdout.trim().split('\n').filter(Boolean).toSorted(), stderr };
}

it('a failed publish, history or drain without await is an unhandled rejection', async () => {
  await using node = await startTestNode();
  node.on('publish', ({ id, topic }, connection, proceed) =>
    topic === 'secret' ? connection.error(id, 'notPermitted') : proceed(),
  );
  const { printed } = await run(
    node.url,
    `
    client.publish('no topic', 1);
    client.publish('a', () => 1);
    client.publish('secret', 1);
    client.history('a');
    client.history('a', { limit: 0 });
    await client.publish('b', 1);
    client.publish('a', 'x'.repeat(70_000));
    await client.history('a').catch(() => {});
    await client.close();
    client.publish('a', 1);
    client.drain();
    `,
  );
  expect(printed).toEqual(
    [
      ...['invalidTopic', 'invalidData', 'notPermitted', 'noHistory', 'invalidOption', 'frameTooLarge'],
      ...['closed', 'closed'],
    ]
      .map((code) => `unhandled ${code}`)
      .toSorted(),
  );
});

it('a connect() without await is an unhandled rejection if the node refuses it for good', async () => {
  await using node = await startTestNode();
  node.on('connect', ({ id }, connection) => connection.error(id, 'malformed'));
  const { printed, stderr } = await run(node.url, `client.connect();`);
  expect(printed).toEqual(['unhandled disconnected']);
  expect(stderr).toContain('Fanfare: ');
});

it('a refused subscription is an unhandled rejection if "ready" was read, and a warning on the console if not', async () => {
  await using node = await startTestNode();
  node.on('subscribe', ({ id }, connection) => connection.error(id, 'notPermitted'));
  const body = (more: string): string => `
    const subscription = client.subscribe('a', () => {});
    ${more}
    subscription.on('unsubscribed', () => setTimeout(() => client.close()));
  `;
  const read = await run(node.url, body('subscription.ready;'));
  expect(read.printed).toEqual(['unhandled notPermitted']);
  const unread = await run(node.url, body(''));
  expect(unread.printed).toEqual([]);
  expect(unread.stderr).toContain('notPermitted');
});

it('close() during a connect() without await is not an unhandled rejection', async () => {
  await using node = await startTestNode();
  node.refuseWith = 503;
  const { printed } = await run(node.url, `client.connect(); await client.close();`);
  expect(printed).toEqual([]);
});

it('"ready" resolves or rejects even if it is read after the result', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const subscription = client.subscribe('a', () => {});
  await new Promise((resolve) => subscription.on('subscribed', resolve));
  await subscription.ready;
  node.on('subscribe', ({ id }, connection) => connection.error(id, 'notPermitted'));
  const refused = client.subscribe('b', () => {});
  refused.on('error', () => {});
  await new Promise((resolve) => refused.on('unsubscribed', resolve));
  expect(await failure(refused.ready)).toMatchObject({ code: 'notPermitted' });
});
