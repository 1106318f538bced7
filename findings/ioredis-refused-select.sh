#!/usr/bin/env bash
# ioredis 5.11.1: a refused SELECT leaves the client ready, in database 0
#
# Guess: a client with `db: 99`, at a server with 16 databases, never gets ready, as with a wrong password. Its commands
# are rejected.
#
# What happens: the client emits `error` ("ERR DB index is out of range"), then `ready`, and carries out all commands in
# database 0. 6.0.0 does the same.
#
# For users: one wrong number, or a server with fewer databases, and an application reads and writes the data of another
# one. An `error` listener that only logs does not prevent it: compare the database number in CLIENT INFO.
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
  const { port, admin } = await start('redis-server', ['--save', '', '--databases', '16']);
  const client = new Redis({ port, db: 99 });
  const events = [];
  for (const name of ['connect', 'ready', 'close']) client.on(name, () => events.push(name));
  client.on('error', (error) => events.push(`error (${error.message})`));
  const reply = await client.set('key', 'value').catch((error) => `rejected: ${error.message}`);
  const database = /\bdb=(\d+)/.exec(await client.client('INFO'))?.[1];
  const found = await admin.get('key');

  console.log(`ioredis ${require('ioredis/package.json').version}, ${execFileSync('redis-server', ['--version'], { encoding: 'utf8' }).trim()}`);
  console.log(`events of the client with db 99: ${events.join(', ')}`);
  console.log(`SET: ${reply}; the connection is in database ${database}; a client of database 0 finds: ${found}`);
  if (!events.includes('ready') || reply !== 'OK' || found !== 'value') fail('the command was not carried out in database 0');
  console.log('as described: a client for database 99 wrote to database 0');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node main.cjs
