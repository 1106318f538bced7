#!/usr/bin/env bash
# uwebsockets 3.0.6: a port that the server chose itself (port 0) cannot be used again for a minute
#
# Guess: it makes no difference whether a server gets a port or asks for a free one with port 0. After it has stopped,
# the next server can listen on the same port at once, although connections are still in the state TIME-WAIT.
#
# What happens: with port 0, uWebSockets does not set SO_REUSEADDR. If the server closed a connection, the next `listen` on
# that port fails until the kernel has forgotten the connection, 60 s on Linux. With a port that was given, it works at once.
#
# For users: a test that stops a server and starts another one at the same address fails. Find a free port first, and pass
# it as a number.
# Needs npm, on Linux.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
arch=$(node -p process.arch)
# The binary of this package that runs on Debian 12 is the one for Node.js 20.
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts uwebsockets@3.0.6 ws@8.23.0 "node20@npm:node-linux-$arch@20.20.2"

cat >main.cjs <<'JS'
const { once } = require('node:events');
const { createServer } = require('node:net');
const { App, us_listen_socket_close: closeListener, us_socket_local_port: portOf } = require('uwebsockets');
const { WebSocket } = require('ws');

setTimeout(() => {
  console.log('not as described: no result after 30 s');
  process.exit(1);
}, 30_000).unref();

/** Listens exclusively. Resolves with false if that fails. */
function listen(app, port) {
  return new Promise((done) => app.listen('127.0.0.1', port, 1, done));
}

/** A server on this port closes a connection and stops. Returns whether the next one can have its port. */
async function canRestart(port) {
  const app = App().ws('/*', { open: (socket) => setImmediate(() => socket.end(1000)) });
  const listener = await listen(app, port);
  const used = portOf(listener);
  const client = new WebSocket(`ws://127.0.0.1:${used}`);
  await once(client, 'close');
  closeListener(listener);
  app.close();
  const next = App();
  const isListening = (await listen(next, used)) !== false;
  next.close();
  return isListening;
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function main() {
  const [chosen, given] = [await canRestart(0), await canRestart(await freePort())];
  console.log(`uwebsockets 3.0.6, restart on the same port: port 0 ${chosen ? 'works' : 'fails'}, a given port ${given ? 'works' : 'fails'}`);
  process.exit(!chosen && given ? 0 : 1);
}

main();
JS
node_modules/node20/bin/node main.cjs
