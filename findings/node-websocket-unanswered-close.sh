#!/usr/bin/env bash
# Node.js 26.12.1: the built-in WebSocket never gives up a close that the peer does not answer
#
# Guess: some time after `close()`, the WebSocket ends the connection by itself and emits `close`. `ws` does after 30 s.
#
# What happens: it stays CLOSING, with its TCP connection, for as long as the peer is silent (shown: 33 s). 22.23.5 and
# 24.22.3 do the same.
#
# For users: after a close to a peer that hangs, no `close` event comes, and the process does not end. Set a timer of
# your own when you call `close()`.
# Needs npm, on Linux.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
arch=$(node -p process.arch)
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts ws@8.23.0 "node26@npm:node-linux-$arch@26.12.1"

cat >main.cjs <<'JS'
const { createHash } = require('node:crypto');
const { createServer } = require('node:net');
const [library] = process.argv.slice(2);
const Implementation = library === 'ws' ? require('ws') : WebSocket;

// A server that completes the handshake and then reads without answering.
const server = createServer((connection) => {
  let head = '';
  connection.on('error', () => {});
  connection.on('data', (data) => {
    head += data;
    const key = /sec-websocket-key: (.*)\r\n/i.exec(head)?.[1];
    if (!key || !head.endsWith('\r\n\r\n')) return;
    head = '';
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    connection.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n');
    connection.write(`Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
  });
});
server.listen(0, '127.0.0.1', () => {
  const socket = new Implementation(`ws://127.0.0.1:${server.address().port}`);
  socket.addEventListener('error', () => {});
  socket.addEventListener('open', () => {
    socket.close(1000);
    const end = setTimeout(() => report(`still open after 33 s, readyState ${socket.readyState}`), 33_000);
    socket.addEventListener('close', (event) => report(`closed with ${event.code}`, clearTimeout(end)));
  });
});

function report(outcome) {
  console.log(outcome);
  process.exit(0);
}
JS
timeout 45 node main.cjs ws >ws.out &
timeout 45 node_modules/node26/bin/node main.cjs >node26.out &
wait
echo "ws $(node -p 'require("ws/package.json").version'): $(cat ws.out)"
echo "node $(node_modules/node26/bin/node --version): $(cat node26.out)"
if ! grep -q 'closed with 1006' ws.out || ! grep -q 'still open.*readyState 2' node26.out; then
  echo 'not as described'
  exit 1
fi
echo 'as described: the built-in WebSocket waits without a limit'
