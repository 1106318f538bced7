#!/usr/bin/env bash
# uwebsockets 3.0.6: the first automatic ping comes 16 s before `idleTimeout`, however long that is
#
# Guess: with `sendPingsAutomatically`, a silent connection is pinged at a fraction of `idleTimeout`, such as half of it.
#
# What happens: the ping is sent 16 s before the timeout (8 or 4 s, if the timeout is below 32 s). So it comes after 44 s
# of silence with 60 s, and after 104 s with the default of 120 s. No setting changes that.
#
# For users: a balancer that cuts silent connections after 30 s cuts these, although pings are on. Keep `idleTimeout`
# below the limit of the balancer plus 12 s, or send pings of your own.
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
const { App, us_socket_local_port: portOf } = require('uwebsockets');
const { WebSocket } = require('ws');

process.on('SIGTERM', () => process.exit(1));
setTimeout(() => fail('no result after 50 s'), 50_000);

function fail(reason) {
  console.log(`not as described: ${reason}`);
  process.exit(1);
}

/** Seconds of silence before the first ping. */
async function firstPing(idleTimeout) {
  const app = App().ws('/*', { idleTimeout, sendPingsAutomatically: true });
  const listening = await new Promise((done) => app.listen('127.0.0.1', 0, done));
  const client = new WebSocket(`ws://127.0.0.1:${portOf(listening)}`);
  await once(client, 'open');
  const start = Date.now();
  await once(client, 'ping');
  const seconds = (Date.now() - start) / 1000;
  console.log(`idleTimeout ${idleTimeout} s: first ping after ${seconds.toFixed(0)} s (${Math.round((seconds / idleTimeout) * 100)} %)`);
  return seconds;
}

(async () => {
  console.log(`uwebsockets ${require('uwebsockets/package.json').version}, node ${process.version}`);
  const [short, middle, long] = await Promise.all([16, 32, 40].map(firstPing));
  // Its timers have steps of 4 s.
  const near = (value, wanted) => Math.abs(value - wanted) < 5;
  if (!near(short, 8) || !near(middle, 16) || !near(long, 24)) fail('expected about 8, 16 and 24 s');
  console.log('as described: the first ping comes a fixed time before the timeout');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node_modules/node20/bin/node main.cjs
