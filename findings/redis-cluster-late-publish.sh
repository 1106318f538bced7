#!/usr/bin/env bash
# Redis 7.0.15: a replaced master that resumes still sends its publications to the subscribers of the new master
#
# Guess: a master of a Redis Cluster that hung, and was replaced meanwhile, may still carry out a command of a client that
# has given up. What it writes and publishes then reaches nobody: the data is discarded, and all subscribers are at the
# new master.
#
# What happens: the data is discarded, but SPUBLISH sends the message on to the servers that were its replicas. One of them
# is the new master, and it delivers the message to its own subscribers.
#
# For users: a script that appends to a stream and publishes the id announces an entry that no stream has, and the new
# master gives the same place in the stream to another entry. A subscriber must not take the id alone as a proof.
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
const { connect, createServer } = require('node:net');
const { setTimeout: sleep } = require('node:timers/promises');
const Redis = require('ioredis');

const children = [];
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
process.on('SIGTERM', () => process.exit(1));
setTimeout(() => fail('no result after 60 s'), 60_000);

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

async function startMember(name) {
  const [port, bus] = [await freePort(), await freePort()];
  const cluster = ['--cluster-enabled', 'yes', '--cluster-config-file', name, '--cluster-port', `${bus}`];
  const quick = ['--cluster-node-timeout', '1000', '--repl-diskless-sync-delay', '0'];
  const where = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', ''];
  const child = spawn('redis-server', [...where, ...cluster, ...quick], { stdio: 'ignore' });
  children.push(child);
  const admin = new Redis({ port, retryStrategy: () => 100, maxRetriesPerRequest: null }).on('error', () => {});
  await admin.ping();
  return { port, bus, child, admin };
}

const script = "local id = redis.call('XADD', KEYS[1], ARGV[1], 'from', ARGV[2]) redis.call('SPUBLISH', KEYS[1], id .. ' from ' .. ARGV[2]) return id";
const name = 'foo';

(async () => {
  // "foo" is in slot 12182, which the third master has.
  const members = [];
  for (const file of ['1.conf', '2.conf', '3.conf', 'replica.conf']) members.push(await startMember(file));
  const [first, , old, replica] = members;
  await members[0].admin.call('CLUSTER', 'ADDSLOTSRANGE', 0, 5460);
  await members[1].admin.call('CLUSTER', 'ADDSLOTSRANGE', 5461, 10922);
  await old.admin.call('CLUSTER', 'ADDSLOTSRANGE', 10923, 16383);
  for (const member of members.slice(1)) await first.admin.call('CLUSTER', 'MEET', '127.0.0.1', member.port, member.bus);
  const id = await old.admin.cluster('MYID');
  while (!(await replica.admin.cluster('NODES')).includes(id)) await sleep(100);
  await replica.admin.call('CLUSTER', 'REPLICATE', id);
  for (const { admin } of members) while (!(await admin.cluster('INFO')).includes('cluster_state:ok')) await sleep(100);
  while (!(await old.admin.info('replication')).includes('state=online')) await sleep(100);

  const client = connect(old.port, '127.0.0.1');
  await once(client, 'connect');
  old.child.kill('SIGSTOP');
  const words = ['EVAL', script, '1', name, '1-1', 'the old master'];
  client.write(`*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`);
  await sleep(500);
  client.destroy();
  while ((await replica.admin.call('ROLE'))[0] !== 'master') await sleep(50);

  const subscriber = new Redis({ port: replica.port });
  await subscriber.ssubscribe(name);
  const received = [];
  subscriber.on('smessage', (_channel, message) => received.push(message));
  old.child.kill('SIGCONT');
  while ((await old.admin.call('ROLE'))[0] !== 'slave') await sleep(50);
  await sleep(1_000);
  const entries = await replica.admin.xlen(name);
  // The new master accepts another entry at the same place.
  const again = await replica.admin.eval(script, 1, name, '1-1', 'the new master');
  while (!received.includes('1-1 from the new master')) await sleep(10);

  console.log(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }).trim());
  console.log(`the old master resumed; entries in the stream of the new master: ${entries}; the next entry there: ${again}`);
  console.log(`the subscriber at the new master received: ${received.join(', ')}`);
  if (entries !== 0) fail('the new master has the entry');
  if (received.join() !== '1-1 from the old master,1-1 from the new master') fail('the message was not sent on');
  console.log('as described: the message of the old master reached a subscriber of the new one');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node main.cjs
