#!/usr/bin/env bash
# Node.js 22.23.5: the built-in WebSocket emits no `close` after a failed connect
#
# Guess: if nobody listens at the port, the WebSocket emits `error`, then `close` with code 1006, and `readyState` is 3,
# as in browsers, in `ws` and in Node.js 24.
#
# What happens: it emits `error` only. `readyState` stays 0 (CONNECTING).
#
# For users: a client that reconnects on `close`, as is usual in browsers, never tries again in Node.js 22. Treat `error`
# while `readyState` is 0 as the end of the attempt, or use `ws`.
# Needs npm, on Linux.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
arch=$(node -p process.arch)
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts "node22@npm:node-linux-$arch@22.23.5" "node24@npm:node-linux-$arch@24.22.3"

cat >main.cjs <<'JS'
const { createServer } = require('node:net');

// A port that was free a moment ago: the connection is refused.
const server = createServer().listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  server.close(() => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    const events = [];
    for (const name of ['open', 'error', 'close']) socket.addEventListener(name, () => events.push(name));
    setTimeout(() => console.log(`${events.join(' ')} readyState ${socket.readyState}`), 5000);
  });
});
JS
for major in 22 24; do
  node="node_modules/node$major/bin/node"
  result=$(timeout 20 "$node" main.cjs)
  echo "node $("$node" --version), 5 s after a refused connection: $result"
  if [ $major = 22 ]; then expected='error readyState 0'; else expected='error close readyState 3'; fi
  if [ "$result" != "$expected" ]; then
    echo "not as described: expected $expected"
    exit 1
  fi
done
echo 'as described: no close, and readyState stays 0'
