/**
 * `npm run test:nodes` runs this file, and the tests of the client and the protocol, with each version of Node. Most
 * versions cannot run a node on every system, so the node of these tests runs with the Node of this machine.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Child } from '@fanfare/local-cluster';
import { expect, it } from 'vitest';
import { thisSystem } from '../../broker/src/connection/load-failure.js';
import { isOlder, neededGlibc } from '../glibc.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const machineNode = process.env['MACHINE_NODE'] ?? process.execPath;

const startNode = (executable: string): Child =>
  new Child({
    command: [executable, join(root, 'broker/dist/main.js')],
    env: { PATH: process.env['PATH'], FANFARE_PORT: '0', FANFARE_ADMIN_PORT: '0' },
  });

/** The port of a node that listens; null if it ends before. */
const portOf = (node: Child): Promise<number | null> =>
  node.find(
    (line) => (line.includes('"listening"') ? (JSON.parse(line) as { port: number }).port : null),
    AbortSignal.timeout(60_000),
  );

/** It uses the built packages, as an app does. The subscriber connects through a proxy, which cuts its connection. */
const app = `
import { createClient } from '@fanfare/client';
import { FaultProxy } from '@fanfare/local-cluster';

const targetPort = Number(process.argv[1]);
const proxy = await FaultProxy.start({ targetPort });
const subscriber = createClient('ws://' + proxy.address + '/ws', { reconnectBaseDelayMs: 5, reconnectMaxDelayMs: 20 });
const publisher = createClient('ws://127.0.0.1:' + targetPort + '/ws');
const subscription = subscriber.subscribe('news');
await subscription.ready;
await publisher.publish('news', 'before');
await proxy.refuse();
await publisher.publish('news', 'while it was away');
await proxy.heal();
const received = [];
for await (const { data } of subscription) {
  if (received.push(data) === 2) await publisher.publish('news', 'after');
  if (received.length === 3) break;
}
await Promise.all([subscriber.drain(), publisher.drain()]);
await proxy[Symbol.asyncDispose]();
process.stdout.write(JSON.stringify(received));
`;

it('the built client connects, subscribes, publishes, and recovers', async () => {
  await using node = startNode(machineNode);
  const port = await portOf(node);
  expect(port, node.explain('It does not listen.')).not.toBeNull();
  const args = ['--input-type=module', '--eval', app, String(port)];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd: root, timeout: 60_000 });
  expect({ stdout, stderr }).toEqual({ stdout: '["before","while it was away","after"]', stderr: '' });
});

/** Why a node cannot start with this Node on this system; null if it can. */
function obstacle(): RegExp | null {
  const { node, platform, arch, glibc } = thisSystem();
  const [major] = node.split('.');
  const name = `uws_${platform}_${arch}_${process.versions.modules}.node`;
  const binary = join(root, 'node_modules/uWebSockets.js', name);
  if (!existsSync(binary)) return new RegExp(`^fanfare: uWebSockets\\.js has no binary for Node ${major} on `);
  const needed = neededGlibc(binary);
  return isOlder(glibc ?? '0', needed)
    ? new RegExp(`^fanfare: With Node ${major}, uWebSockets\\.js needs glibc ${needed} or later, and this system has `)
    : null;
}

it('a node starts, or says in one line why it cannot', async () => {
  await using node = startNode(process.execPath);
  const expected = obstacle();
  if (expected === null) {
    expect(await portOf(node), node.explain('It does not listen.')).not.toBeNull();
    return;
  }
  expect(await node.exited).toBe(2);
  expect(node.logs()).toEqual([expect.stringMatching(expected)]);
});
