#!/usr/bin/env bash
# Firefox ESR 153.8: after failed attempts, `new WebSocket()` does nothing for up to a minute
#
# Guess: `new WebSocket()` connects at once. If the server is up again, the next attempt succeeds.
#
# What happens: after each failed attempt, Firefox holds back the next one to the same host, port and path: by 0.2 to
# 0.4 s at first, then 1.5 times as long each time. The WebSocket is CONNECTING meanwhile. The limit, by Mozilla's source,
# is 60 s, which 14 failures reach. `fetch()` is not held back.
#
# For users: after an outage, clients in Firefox come back up to a minute later than others. A connect timeout of a few
# seconds ends attempts that Firefox has not begun. That does not make the wait longer; trying again does not make it
# shorter.
# Needs npm and firefox-esr.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir" || true' EXIT
cd "$dir"
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts ws@8.23.0

cat >main.cjs <<'JS'
const { execSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const { createServer: createWebServer } = require('node:http');
const { createServer } = require('node:net');
const { WebSocketServer } = require('ws');

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

// Runs in Firefox: eight attempts while nothing listens, then the server starts, then one more attempt.
async function inPage(port) {
  const attempt = () => new Promise((done) => {
    const start = performance.now();
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    const end = (outcome) => done({ outcome, ms: Math.round(performance.now() - start) });
    socket.onopen = () => end('open');
    socket.onclose = (event) => end(`close ${event.code}`);
  });
  const failed = [];
  for (let count = 0; count < 8; count++) failed.push(await attempt());
  await fetch('/start', { method: 'POST' });
  const last = attempt();
  const start = performance.now();
  await fetch(`http://127.0.0.1:${port}/`, { mode: 'no-cors' });
  const fetched = Math.round(performance.now() - start);
  await fetch('/report', { method: 'POST', body: JSON.stringify({ failed, fetched, last: await last }) });
}

(async () => {
  const port = await freePort();
  const web = createWebServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    if (request.url === '/start') {
      // Answers a plain request with 426, a handshake with 101.
      await once(new WebSocketServer({ port, host: '127.0.0.1' }), 'listening');
    }
    if (request.url === '/report') judge(JSON.parse(body));
    response.setHeader('content-type', 'text/html').end(request.url === '/' ? `<script>(${inPage})(${port})</script>` : '');
  }).listen(0, '127.0.0.1');
  await once(web, 'listening');
  const env = { ...process.env, HOME: process.cwd(), TMPDIR: process.cwd() };
  const page = `http://127.0.0.1:${web.address().port}/`;
  const firefox = spawn('firefox-esr', ['--headless', '--no-remote', '--profile', process.cwd(), page], { env, stdio: 'ignore' });
  children.push(firefox);

  async function judge({ failed, fetched, last }) {
    firefox.kill('SIGTERM');
    await once(firefox, 'exit');
    console.log(execSync('firefox-esr --version 2>/dev/null', { encoding: 'utf8', env }).trim());
    console.log(`attempts while nothing listens fail after (ms): ${failed.map(({ ms }) => ms).join(', ')}`);
    console.log(`the server listens: fetch() is answered after ${fetched} ms, the WebSocket is open after ${last.ms} ms`);
    if (failed.some(({ outcome }) => outcome !== 'close 1006') || last.outcome !== 'open') fail(JSON.stringify({ failed, last }));
    if (last.ms < 2000 || last.ms < 5 * fetched) fail('the last attempt was not held back');
    console.log('as described: Firefox holds WebSockets back after failures');
    process.exit(0);
  }
})().catch((error) => fail(error.stack));
JS
node main.cjs
