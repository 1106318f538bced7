#!/usr/bin/env bash
# uwebsockets 3.0.6: a blocked response is closed after 12 s although its client reads
#
# Guess: a response whose `write()` returned false stays open while its client reads, because idle ones stay open
# for minutes.
#
# What happens: the failed `write()` starts a timeout of 10 to 12 s. It ends only when the socket is writable, and the
# kernel calls a socket writable when about a third of its buffer (megabytes on loopback) is free. So a client that reads
# slowly is cut off in the middle of a chunk. `pause()` ends the timeout. But after it, the server notices neither that
# the socket is writable nor that the client has reset it. `pause()` and at once `resume()` restart the timeout.
#
# For users: while a response is blocked, call `pause()` and `resume()` at least every 4 s, and end it with a timeout of
# your own. Firefox never reconnects an EventSource that was cut off in a chunk.
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
const { App, us_socket_local_port: portOf } = require('uwebsockets');

process.on('SIGTERM', () => process.exit(1));
setTimeout(() => fail('no result after 55 s'), 55_000);

function fail(reason) {
  console.log(`not as described: ${reason}`);
  process.exit(1);
}

const keep = {
  '/nothing': () => {},
  '/pause-resume': (response) => { response.pause(); response.resume(); },
  '/pause': (response) => response.pause(),
};
const seen = Object.fromEntries(Object.keys(keep).map((path) => [path, { abortedAfterMs: null, writable: 0 }]));

/** Fills the kernel, then does what `path` says each second. */
function handle(path, response) {
  const startedAt = Date.now();
  const chunk = new Uint8Array(8_100);
  response.onAborted(() => {
    clearInterval(timer);
    seen[path].abortedAfterMs = Date.now() - startedAt;
  });
  response.onWritable(() => {
    seen[path].writable++;
    response.cork(() => response.write('more'));
    return true;
  });
  for (let fits = true; fits; ) response.cork(() => { fits = response.write(chunk); });
  const timer = setInterval(() => keep[path](response), 1_000);
}

(async () => {
  const app = App();
  for (const path of Object.keys(keep)) app.get(path, (response) => handle(path, response));
  const port = portOf(await new Promise((done) => app.listen('127.0.0.1', 0, done)));
  console.log(`uwebsockets ${require('uwebsockets/package.json').version}, node ${process.version}`);
  const sockets = Object.keys(keep).map((path) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`));
    socket.on('error', () => {}).pause();
    return socket;
  });
  // Reads 40 kB a second.
  const reading = setInterval(() => sockets.forEach((socket) => socket.read(40_000)), 1_000);
  await new Promise((done) => setTimeout(done, 20_500));
  clearInterval(reading);
  // Reads all the rest.
  for (const socket of sockets) socket.on('data', () => {}).resume();
  await new Promise((done) => setTimeout(done, 4_000));
  for (const socket of sockets) socket.resetAndDestroy();
  await new Promise((done) => setTimeout(done, 1_000));
  for (const [path, result] of Object.entries(seen)) console.log(path, JSON.stringify(result));
  const cutOff = seen['/nothing'].abortedAfterMs;
  if (cutOff === null || cutOff < 8_000 || cutOff > 13_000) fail('it is not cut off after 12 s');
  const kept = seen['/pause-resume'];
  if (kept.writable === 0 || kept.abortedAfterMs < 20_000) fail('pause and resume do not keep it');
  const paused = seen['/pause'];
  if (paused.writable > 0 || paused.abortedAfterMs !== null) fail('a paused response notices something');
  console.log('as described: cut off after 12 s; only pause() with resume() helps');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node_modules/node20/bin/node main.cjs
