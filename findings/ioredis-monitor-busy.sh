#!/usr/bin/env bash
# ioredis 5.11.1: monitor() fails while others use the server
#
# Guess: `monitor()` resolves once the server has answered MONITOR, and each command after that is a `monitor` event.
#
# What happens: the client treats lines as commands only after the turn in which it reads the answer. If the first command
# arrives in the same segment as the answer, it is taken for the reply to a command that nobody sent. `monitor()` rejects
# with "Command queue state error". If there are more such lines, its client emits `error` again, and nobody listens.
#
# For users: a tool that watches a busy server by MONITOR ends with an error that asks to report it. Read MONITOR from a
# socket, or try again and listen for `error`.
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

(async () => {
  const port = await freePort();
  children.push(spawn('redis-server', ['--save', '', '--bind', '127.0.0.1', '--port', `${port}`], { stdio: 'ignore' }));
  const server = new Redis({ port, retryStrategy: () => 100, maxRetriesPerRequest: null }).on('error', () => {});
  await server.ping();
  // Another program uses the server all the time.
  children.push(spawn('redis-benchmark', ['-p', `${port}`, '-n', '100000000', '-t', 'set', '-q'], { stdio: 'ignore' }));
  while (Number(/total_commands_processed:(\d+)/.exec(await server.info('stats'))?.[1]) < 1_000);
  const messages = new Set();
  let [failed, rejected] = [0, 0];
  // Errors that come after the call has been rejected, when nobody listens to its client any more.
  process.on('uncaughtException', ({ message }) => messages.add(message.replace(/Last reply: .*/, 'Last reply: <a line of MONITOR>')));
  for (let call = 0; call < 20; call++) {
    await new Redis({ port }).monitor().then(
      (monitor) => once(monitor, 'monitor').then(() => monitor.disconnect()),
      ({ message }) => {
        rejected += 1;
        messages.add(message.replace(/Last reply: .*/, 'Last reply: <a line of MONITOR>'));
      },
    ).catch(() => { failed += 1; });
  }
  console.log(`ioredis ${require('ioredis/package.json').version}, ${execFileSync('redis-server', ['--version'], { encoding: 'utf8' }).trim()}`);
  console.log(`20 calls of monitor(): ${rejected} rejected, ${failed} failed later: ${[...messages].join('; ')}`);
  if (rejected + failed === 0 || [...messages].some((message) => !message.startsWith('Command queue state error'))) fail('other errors, or none');
  console.log('as described: the first command was taken for a reply');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node main.cjs
