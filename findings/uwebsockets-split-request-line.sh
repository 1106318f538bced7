#!/usr/bin/env bash
# uwebsockets 3.0.6: a request line in two TCP segments is answered with 505
#
# Guess: how a request is cut into TCP segments does not matter.
#
# What happens: if the cut is inside the URL or the version, the server answers "505 HTTP Version Not Supported" and
# says that it does not support HTTP/1.0. A cut inside the method or the headers does not matter.
#
# For users: a request line that is longer than a segment (about 1,400 bytes, such as a token in the URL) fails at random.
# Put tokens into headers, and retry on 505. Known as uNetworking/uWebSockets#1776; fixed there, not in this package.
# Needs npm, on Linux.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
arch=$(node -p process.arch)
# The binary of this package that runs on Debian 12 is the one for Node.js 20.
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts uwebsockets@3.0.6 "node20@npm:node-linux-$arch@20.20.2"

cat >main.cjs <<'JS'
const { once } = require('node:events');
const { connect } = require('node:net');
const { setTimeout: sleep } = require('node:timers/promises');
const { App, us_socket_local_port: portOf } = require('uwebsockets');

process.on('SIGTERM', () => process.exit(1));
setTimeout(() => fail('no result after 50 s'), 50_000);

function fail(reason) {
  console.log(`not as described: ${reason}`);
  process.exit(1);
}

async function statusOf(port, parts) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let answer = '';
  socket.on('data', (data) => { answer += data; }).on('error', () => {});
  await once(socket, 'connect');
  for (const part of parts) {
    socket.write(part);
    await sleep(200);
  }
  while (!answer.includes('\r\n')) await sleep(20);
  socket.destroy();
  return answer.split('\r\n')[0];
}

(async () => {
  const listening = await new Promise((done) => App().get('/*', (response) => response.end('ok')).listen('127.0.0.1', 0, done));
  const port = portOf(listening);
  console.log(`uwebsockets ${require('uwebsockets/package.json').version}, node ${process.version}`);
  const requests = {
    'in one segment': [['GET /path HTTP/1.1\r\nHost: a\r\n\r\n'], '200'],
    'cut in a header': [['GET /path HTTP/1.1\r\nHo', 'st: a\r\n\r\n'], '200'],
    'cut in the method': [['GE', 'T /path HTTP/1.1\r\nHost: a\r\n\r\n'], '200'],
    'cut in the URL': [['GET /pa', 'th HTTP/1.1\r\nHost: a\r\n\r\n'], '505'],
    'cut in the version': [['GET /path HTTP/1', '.1\r\nHost: a\r\n\r\n'], '505'],
  };
  for (const [name, [parts, expected]] of Object.entries(requests)) {
    const status = await statusOf(port, parts);
    console.log(`request ${name}: ${status}`);
    if (!status.includes(` ${expected} `)) fail(`expected ${expected}`);
  }
  console.log('as described: a cut in the request line is answered with 505');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node_modules/node20/bin/node main.cjs
