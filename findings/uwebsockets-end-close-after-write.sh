#!/usr/bin/env bash
# uwebsockets 3.0.6: `end(chunk, true)` after `write()` puts a header into the body
#
# Guess: `end(chunk, true)` ends a chunked response and then closes the connection.
#
# What happens: it writes "Connection: close" where the last chunk should end. Clients report a broken chunk, and lose
# the chunk that `end` had to send. Without `write()` before it, the header is in the head, as expected.
#
# For users: after `write()` call `end(chunk)` only. To close the connection, write the header "Connection: close" before
# the first `write()`: the client then closes. Firefox never reconnects an EventSource after a broken chunk.
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
const { connect } = require('node:net');
const { once } = require('node:events');
const { App, us_socket_local_port: portOf } = require('uwebsockets');

process.on('SIGTERM', () => process.exit(1));
setTimeout(() => fail('no result after 50 s'), 50_000);

function fail(reason) {
  console.log(`not as described: ${reason}`);
  process.exit(1);
}

const endings = {
  '/write-then-end': (response) => { response.write('first'); response.end('last'); },
  '/write-then-end-and-close': (response) => { response.write('first'); response.end('last', true); },
  '/end-and-close': (response) => response.end('last', true),
};

async function bodyOf(port, path) {
  const socket = connect({ port, host: '127.0.0.1' });
  let answer = '';
  socket.on('data', (data) => { answer += data; });
  await once(socket, 'connect');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  while (!answer.includes('last')) await new Promise((done) => setTimeout(done, 20));
  await new Promise((done) => setTimeout(done, 200));
  socket.destroy();
  return answer.slice(answer.indexOf('\r\n\r\n') + 4);
}

(async () => {
  const app = App();
  for (const [path, end] of Object.entries(endings)) {
    app.get(path, (response) => {
      response.onAborted(() => {});
      // Later, as for a stream.
      setTimeout(() => response.cork(() => end(response)), 50);
    });
  }
  const port = portOf(await new Promise((done) => app.listen('127.0.0.1', 0, done)));
  console.log(`uwebsockets ${require('uwebsockets/package.json').version}, node ${process.version}`);
  const bodies = {};
  for (const path of Object.keys(endings)) {
    bodies[path] = await bodyOf(port, path);
    console.log(`${path}: body ${JSON.stringify(bodies[path])}`);
  }
  // uwebsockets ends each chunk together with the next one.
  if (!/^\r?\n?5\r\nfirst\r\n4\r\nlast\r\n0\r\n\r\n$/.test(bodies['/write-then-end'])) fail('write, then end: another body');
  if (bodies['/end-and-close'] !== 'last') fail('end and close: another body');
  if (!bodies['/write-then-end-and-close'].includes('Connection: close')) fail('no header in the body');
  console.log('as described: a header is in the body');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node_modules/node20/bin/node main.cjs
