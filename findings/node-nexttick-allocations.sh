#!/usr/bin/env bash
# Node.js 20.20.2, 22.22.3: a turn with a `process.nextTick` allocates about 370 bytes, 24.22.3 about 80
#
# Guess: an object for the callback, so less than 150 bytes, in every version. A promise job costs more.
#
# What happens: in Node.js 20 and 22, after the callbacks of a turn, `processPromiseRejections` makes a map and iterators,
# although no promise was rejected. A promise job costs 144 bytes, in every version.
#
# For users: with thousands of small turns a second, this is most of what the garbage collector has to do. `socket.write`
# and each `data` event of a stream call `nextTick` too. In a hot path use a promise job, and write once a turn, or use
# Node.js 24.
# Needs npm, on Linux.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
arch=$(node -p process.arch)
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts "node20@npm:node-linux-$arch@20.20.2" \
  "node22@npm:node-linux-$arch@22.22.3" "node24@npm:node-linux-$arch@24.22.3"

cat >main.mjs <<'JS'
import { PerformanceObserver } from 'node:perf_hooks';

let collections = 0;
new PerformanceObserver((list) => {
  collections += list.getEntries().length;
}).observe({ entryTypes: ['gc'] });

const turns = 20_000;
const nothing = () => {};

function runTurns(work) {
  return new Promise((resolve) => {
    let left = turns;
    const turn = () => {
      work();
      left--;
      if (left > 0) setImmediate(turn);
      else resolve();
    };
    setImmediate(turn);
  });
}

/** Bytes that a turn allocates. The first run warms up. */
async function bytesOf(work) {
  await runTurns(work);
  const before = process.memoryUsage().heapUsed;
  await runTurns(work);
  return (process.memoryUsage().heapUsed - before) / turns;
}

await bytesOf(nothing);
const idle = await bytesOf(nothing);
const tick = Math.round((await bytesOf(() => process.nextTick(nothing))) - idle);
const job = Math.round((await bytesOf(() => Promise.resolve().then(nothing))) - idle);
if (collections > 0) throw new Error('A garbage collection spoiled the result.');
console.log(`${tick} ${job}`);
JS
for major in 20 22 24; do
  node="node_modules/node$major/bin/node"
  # The young generation holds everything, so nothing is collected meanwhile.
  read -r tick job < <(timeout 60 "$node" --min-semi-space-size=512 --max-semi-space-size=512 main.mjs)
  echo "node $("$node" --version): a turn with nextTick allocates $tick bytes more, one with a promise job $job"
  if [ $major = 24 ]; then expected=$((tick < 150)); else expected=$((tick > 250)); fi
  if [ "$expected" != 1 ] || [ "$job" -gt 250 ]; then
    echo 'not as described'
    exit 1
  fi
done
echo 'as described: nextTick costs four times as much in Node.js 20 and 22 as in 24'
