#!/usr/bin/env bash
# ioredis 5.11.1: SSUBSCRIBE at the wrong master of a Redis Cluster never settles
#
# Guess: `ssubscribe()` of a client for one server rejects with the answer of the server ("MOVED 12182 host:port"), as
# GET does.
#
# What happens: the client emits `moved` without an argument. The promise neither resolves nor rejects.
#
# For users: code that awaits `ssubscribe()` on one master stops there after a slot has moved. Listen to `moved`, or
# race with a timer. ioredis 6.0.0 rejects.
# Needs npm and redis-server.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts ioredis@5.11.1

cat >main.cjs <<'JS'
const { spawn, execFileSync } = require('node:child_process');
const { once } = require('node:events');
const { createServer } = require('node:net');
const { setTimeout: sleep } = require('node:timers/promises');
const Redis = require('ioredis');

const children = [];
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
process.on('SIGTERM', () => process.exit(1));
setTimeout(() => fail('no result after 50 s'), 50_000);

function fail(reason) {
  console.log(`not as described: ${reason}`);
  process.exit(1);
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

async function start(program, args) {
  const port = await freePort();
  children.push(spawn(program, [...args, '--port', `${port}`, '--bind', '127.0.0.1'], { stdio: 'ignore' }));
  const admin = new Redis({ port, retryStrategy: () => 100, maxRetriesPerRequest: null }).on('error', () => {});
  await admin.ping();
  return { port, admin };
}

const redis = (...args) => start('redis-server', ['--save', '', '--repl-diskless-sync-delay', '0', ...args]);

(async () => {
  const startMember = async (name, busPort) =>
    start('redis-server', ['--save', '', '--cluster-enabled', 'yes', '--cluster-config-file', name, '--cluster-port', `${busPort}`]);
  const secondBus = await freePort();
  const first = await startMember('first.conf', await freePort());
  const second = await startMember('second.conf', secondBus);
  await first.admin.call('CLUSTER', 'ADDSLOTSRANGE', 0, 8191);
  await second.admin.call('CLUSTER', 'ADDSLOTSRANGE', 8192, 16383);
  await first.admin.call('CLUSTER', 'MEET', '127.0.0.1', second.port, secondBus);
  while (!(await first.admin.cluster('INFO')).includes('cluster_state:ok')) await sleep(100);

  // This channel and this key belong to the second master; both clients are connected to the first.
  const name = 'foo';
  const slot = await first.admin.cluster('KEYSLOT', name);
  const client = new Redis({ port: first.port });
  const moved = once(client, 'moved').then((values) => `emitted with ${values.length} arguments`);
  const outcome = (promise) => promise.then((value) => `resolved: ${value}`, (error) => `rejected: ${error.message}`);
  const get = await outcome(client.get(name));
  const ssubscribe = await Promise.race([outcome(client.ssubscribe(name)), sleep(5000, 'not settled after 5 s')]);

  console.log(`ioredis ${require('ioredis/package.json').version}, ${execFileSync('redis-server', ['--version'], { encoding: 'utf8' }).trim()}`);
  console.log(`slot ${slot}; GET: ${get}`);
  console.log(`ssubscribe(): ${ssubscribe}; event moved: ${await Promise.race([moved, sleep(100, 'none')])}`);
  if (slot < 8192 || !get.startsWith('rejected: MOVED')) fail('the server did not answer MOVED');
  if (ssubscribe !== 'not settled after 5 s') fail('ssubscribe() settled');
  console.log('as described: ssubscribe() never settles');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node main.cjs
