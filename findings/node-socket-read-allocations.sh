#!/usr/bin/env bash
# Node.js 20.20.2, 24.22.3: a read by `data` allocates at least 400 bytes of JavaScript objects more than one by `onread`
#
# Guess: `onread` saves the buffer, which is memory outside of the JavaScript heap, and one object of about 100 bytes.
#
# What happens: with `data`, each read makes an ArrayBuffer, a Buffer and the state of the stream, and schedules a callback
# that looks for more to read. `onread` of `net.connect` calls a function with the same buffer each time.
#
# For users: a connection that gets thousands of small messages a second makes the garbage collector run twice as often
# with `data`. `onread` also works with `tls.connect`, but must be given when the socket is made, so a library that makes
# the socket must offer it.
# Needs npm, on Linux.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
arch=$(node -p process.arch)
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts "node20@npm:node-linux-$arch@20.20.2" "node24@npm:node-linux-$arch@24.22.3"

cat >server.mjs <<'JS'
import { createServer } from 'node:net';

const answer = Buffer.alloc(100);
const server = createServer((socket) => socket.on('data', () => socket.write(answer)));
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit()).resume();
JS

cat >client.mjs <<'JS'
import { once } from 'node:events';
import { connect } from 'node:net';
import { PerformanceObserver } from 'node:perf_hooks';

let collections = 0;
new PerformanceObserver((list) => {
  collections += list.getEntries().length;
}).observe({ entryTypes: ['gc'] });

const port = Number(process.argv[2]);
const [rounds, answerBytes] = [5_000, 100];
const question = Buffer.alloc(1);

/** Bytes of JavaScript objects for a question and its answer. The first run warms up. */
async function bytesOf(way) {
  let onBytes = () => {};
  const callback = (length) => {
    onBytes(length);
    return true;
  };
  const onread = way === 'onread' ? { buffer: Buffer.alloc(65_536), callback } : undefined;
  const socket = connect({ port, host: '127.0.0.1', onread });
  await once(socket, 'connect');
  if (way === 'data') socket.on('data', ({ length }) => onBytes(length));
  const run = () =>
    new Promise((resolve) => {
      let left = rounds;
      let bytes = 0;
      onBytes = (length) => {
        bytes += length;
        if (bytes < answerBytes) return;
        bytes = 0;
        left--;
        if (left > 0) socket.write(question);
        else resolve();
      };
      socket.write(question);
    });
  await run();
  const before = process.memoryUsage().heapUsed;
  await run();
  const bytes = (process.memoryUsage().heapUsed - before) / rounds;
  socket.destroy();
  return Math.round(bytes);
}

await bytesOf('data');
await bytesOf('onread');
const result = `${await bytesOf('data')} ${await bytesOf('onread')}`;
if (collections > 0) throw new Error('A garbage collection spoiled the result.');
console.log(result);
JS
for major in 20 24; do
  node="node_modules/node$major/bin/node"
  coproc SERVER { exec "$node" server.mjs; }
  server_pid=$SERVER_PID
  read -r port <&"${SERVER[0]}"
  # The young generation holds everything, so nothing is collected meanwhile.
  read -r data onread < <(timeout 60 "$node" --min-semi-space-size=512 --max-semi-space-size=512 client.mjs "$port")
  kill "$server_pid"
  wait "$server_pid" 2>/dev/null || true
  echo "node $("$node" --version): a question and its answer allocate $data bytes with data, $onread with onread"
  if [ $((data - onread)) -lt 400 ]; then
    echo 'not as described'
    exit 1
  fi
done
echo 'as described: each read by data allocates more'
