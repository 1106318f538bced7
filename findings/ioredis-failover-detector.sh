#!/usr/bin/env bash
# ioredis 5.11.1: a failover of another master closes this client's connection
#
# Guess: with `failoverDetector: true`, a client reconnects if Sentinel switches the master that the client names.
#
# What happens: the client reconnects if Sentinel switches any master. The message on `+switch-master` begins with the
# name of the master, but ioredis does not read it. 6.0.0 does the same.
#
# For users: where one set of Sentinels watches many masters, each failover makes the clients of all masters reconnect.
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
  const mine = await redis();
  const other = await redis();
  await redis('--replicaof', `127.0.0.1 ${other.port}`);
  writeFileSync('sentinel.conf', `sentinel monitor mine 127.0.0.1 ${mine.port} 1\nsentinel monitor other 127.0.0.1 ${other.port} 1\n`);
  const sentinel = await start('redis-sentinel', ['sentinel.conf']);

  const options = { sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: 'mine' };
  const detecting = new Redis({ ...options, failoverDetector: true });
  const plain = new Redis(options);
  const ids = async () => ({ detecting: await detecting.client('ID'), plain: await plain.client('ID') });
  const before = await ids();

  const events = new Redis({ port: sentinel.port, enableReadyCheck: false });
  await events.subscribe('+switch-master');
  const switched = once(events, 'message');
  // Sentinel refuses until it knows the replica.
  while ((await sentinel.admin.call('SENTINEL', 'FAILOVER', 'other').catch(() => 'refused')) !== 'OK') await sleep(200);
  const [, message] = await switched;
  await sleep(1000);
  const after = await ids();

  console.log(`ioredis ${require('ioredis/package.json').version}, ${execFileSync('redis-server', ['--version'], { encoding: 'utf8' }).trim()}`);
  console.log(`+switch-master: ${message}`);
  console.log(`client of "mine" without failoverDetector: connection ${before.plain}, then ${after.plain}`);
  console.log(`client of "mine" with failoverDetector:    connection ${before.detecting}, then ${after.detecting}`);
  if (!message.startsWith('other ')) fail('the failover was not one of "other"');
  if (after.plain !== before.plain) fail('the client without failoverDetector reconnected, too');
  if (after.detecting === before.detecting) fail('the client did not reconnect');
  console.log('as described: a failover of "other" made the client of "mine" reconnect');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node main.cjs
