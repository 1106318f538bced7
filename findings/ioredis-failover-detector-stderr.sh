#!/usr/bin/env bash
# ioredis 5.11.1: a Sentinel that is down makes `failoverDetector` print to standard error
#
# Guess: the errors of all connections that a client opens reach its `error` listener, or are dropped because another
# Sentinel answers.
#
# What happens: `failoverDetector: true` opens a connection to each Sentinel without an `error` listener. Each failed
# attempt prints "[ioredis] Unhandled error event" and a stack, although the application listens to `error`. 6.0.0 does
# the same.
#
# For users: while one Sentinel is down, each client writes a stack to the log when it connects and then once a minute.
# No listener prevents it. `sentinelReconnectStrategy: () => null` leaves the one at each connect.
# Needs npm and redis-server with redis-sentinel.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts ioredis@5.11.1

cat >main.cjs <<'JS'
const { spawn, execFileSync } = require('node:child_process');
const { once } = require('node:events');
const { writeFileSync } = require('node:fs');
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
  const redis = await start('redis-server', ['--save', '']);
  writeFileSync('sentinel.conf', `sentinel monitor mine 127.0.0.1 ${redis.port} 1\n`);
  const sentinel = await start('redis-sentinel', ['sentinel.conf']);
  const down = await freePort();

  const printed = [];
  console.error = (...parts) => printed.push(parts.map(String).join(' '));
  const emitted = [];
  const client = new Redis({
    sentinels: [{ host: '127.0.0.1', port: sentinel.port }, { host: '127.0.0.1', port: down }],
    name: 'mine',
    failoverDetector: true,
  });
  client.on('error', (error) => emitted.push(error.message));
  await client.set('key', 'value');
  await sleep(3000);

  console.log(`ioredis ${require('ioredis/package.json').version}, ${execFileSync('redis-server', ['--version'], { encoding: 'utf8' }).trim()}`);
  console.log(`the client is ${client.status}, GET key: ${await client.get('key')}`);
  console.log(`its 'error' listener got ${emitted.length} errors; printed to standard error in 3 s: ${printed.length}`);
  console.log(`the first: ${printed[0]?.split('\n')[0]}`);
  if (emitted.length > 0) fail('the client emits the errors');
  if (!printed.some((text) => text.startsWith('[ioredis] Unhandled error event'))) fail('nothing is printed');
  console.log('as described: errors bypass the listener and are printed');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node main.cjs
