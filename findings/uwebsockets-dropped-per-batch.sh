#!/usr/bin/env bash
# uwebsockets 3.0.6: `dropped` is called once for many messages that were dropped
#
# Guess: the server calls `dropped` for each published message that a subscriber above `maxBackpressure` does not get.
# With one `publish()` in a turn of the event loop it does, and with `ws.send()`.
#
# What happens: the messages that are published in one turn make a batch. The batch is dropped as a whole, and `dropped`
# is called once, with the first message only.
#
# For users: counting in `dropped` counts too few, here by a factor of 20, and the messages that it gets are not all that
# are missing. Known as uNetworking/uWebSockets.js#1079.
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
const { setTimeout: sleep, setImmediate: nextTurn } = require('node:timers/promises');
const { App, us_socket_local_port: portOf } = require('uwebsockets');
const { WebSocket } = require('ws');

process.on('SIGTERM', () => process.exit(1));
setTimeout(() => fail('no result after 50 s'), 50_000);

function fail(reason) {
  console.log(`not as described: ${reason}`);
  process.exit(1);
}

/** Publishes 20,000 messages to a subscriber that does not read. Then it reads, so that we know what is missing. */
async function round(perTurn) {
  const published = 20_000;
  const message = Buffer.alloc(1024);
  let dropped = 0;
  let received = 0;
  const app = App().ws('/*', {
    maxBackpressure: 64 * 1024,
    open: (socket) => socket.subscribe('topic'),
    dropped: () => { dropped += 1; },
  });
  const listening = await new Promise((done) => app.listen('127.0.0.1', 0, done));
  const subscriber = new WebSocket(`ws://127.0.0.1:${portOf(listening)}`).on('message', () => { received += 1; });
  await once(subscriber, 'open');
  subscriber.pause();
  for (let count = 0; count < published; count += perTurn) {
    for (let i = 0; i < perTurn; i++) app.publish('topic', message, true);
    await nextTurn();
  }
  subscriber.resume();
  let before = -1;
  while (received > before) {
    before = received;
    await sleep(1000);
  }
  console.log(`${perTurn} in a turn: ${published} published, ${published - received} missing, dropped called ${dropped} times`);
  return (published - received) / dropped;
}

(async () => {
  console.log(`uwebsockets ${require('uwebsockets/package.json').version}, node ${process.version}`);
  if ((await round(1)) !== 1) fail('with one message in a turn, the numbers differ');
  const ratio = await round(20);
  if (ratio < 15 || ratio > 20) fail(`with 20 in a turn, ${ratio.toFixed(1)} messages are missing for each call`);
  console.log('as described: one call for each batch');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node_modules/node20/bin/node main.cjs
