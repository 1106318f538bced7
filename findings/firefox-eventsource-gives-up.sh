#!/usr/bin/env bash
# Firefox ESR 153.8: an EventSource reconnects after a cut-off stream, but gives up if the server is down a moment later
#
# Guess: EventSource reconnects after network errors, as its specification says ("reestablish the connection"). It gives
# up (readyState 2) only after a wrong status or content type.
#
# What happens: Firefox reconnects (readyState 0) if a stream ends between chunks or in the middle of one. It gives up
# for good if the port refuses the connection, if the server closes it without an answer, or if a chunk is malformed.
# Chromium reconnects in all these cases.
#
# For users: after a restart of a server, pages in Firefox that came back a moment too early stay without events until
# they are reloaded. A page has to look at readyState in its error handler, and create another EventSource if it is 2.
# Needs node and firefox-esr.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir" || true' EXIT
cd "$dir"

cat >main.cjs <<'JS'
const { execSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const { createServer: createWebServer } = require('node:http');
const { createServer } = require('node:net');

const children = [];
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
process.on('SIGTERM', () => process.exit(1));
setTimeout(() => fail('no result after 50 s'), 50_000);

function fail(reason) {
  console.log(`not as described: ${reason}`);
  process.exit(1);
}

async function listen(onConnection) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    onConnection(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

// A stream with one whole event, and an end of its own.
const stream = (end) => (socket) =>
  socket.once('data', () => {
    const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nAccess-Control-Allow-Origin: *\r\n';
    socket.end(`${head}Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n${end}`);
  });

// Runs in Firefox: the state after the first error of each EventSource.
async function inPage(ports) {
  const states = {};
  for (const [name, port] of Object.entries(ports)) {
    const source = new EventSource(`http://127.0.0.1:${port}/`);
    await new Promise((resolve) => (source.onerror = resolve));
    states[name] = source.readyState;
    source.close();
  }
  await fetch('/report', { method: 'POST', body: JSON.stringify(states) });
}

(async () => {
  const servers = {
    'ends between chunks': await listen(stream('')),
    'ends in the middle of a chunk': await listen(stream('9\r\ndata')),
    'refuses the connection': await listen(() => {}),
    'closes without an answer': await listen((socket) => socket.destroy()),
    'sends a malformed chunk': await listen(stream('no size\r\n')),
  };
  const ports = Object.fromEntries(Object.entries(servers).map(([name, server]) => [name, server.address().port]));
  servers['refuses the connection'].close();
  const web = createWebServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    if (request.url === '/report') judge(JSON.parse(body));
    const page = `<script>(${inPage})(${JSON.stringify(ports)})</script>`;
    response.setHeader('content-type', 'text/html').end(request.url === '/' ? page : '');
  }).listen(0, '127.0.0.1');
  await once(web, 'listening');
  const env = { ...process.env, HOME: process.cwd(), TMPDIR: process.cwd() };
  const page = `http://127.0.0.1:${web.address().port}/`;
  const firefox = spawn('firefox-esr', ['--headless', '--no-remote', '--profile', process.cwd(), page], { env, stdio: 'ignore' });
  children.push(firefox);

  async function judge(states) {
    firefox.kill('SIGTERM');
    await once(firefox, 'exit');
    console.log(execSync('firefox-esr --version 2>/dev/null', { encoding: 'utf8', env }).trim());
    for (const [name, state] of Object.entries(states)) console.log(`a server that ${name}: readyState ${state}`);
    if (Object.values(states).join() !== '0,0,2,2,2') fail(JSON.stringify(states));
    console.log('as described: Firefox gives up after a refused connection, no answer, and a malformed chunk');
    process.exit(0);
  }
})().catch((error) => fail(error.stack));
JS
node main.cjs
