#!/usr/bin/env bash
# Chromium 156: `--allow-file-access-from-files` changes the Origin of WebSockets from files
#
# Guess: a page from a file sends `Origin: null` in a WebSocket handshake. A switch about reading files does not change that.
#
# What happens: with the switch, the handshake has `Origin: file://`, which the standards do not have.
#
# For users: kiosks and desktop shells that load their page from a file with this switch need `file://` in the server's
# list of origins. A test with a plain browser does not show it.
# Needs npm and chromium.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir" || true' EXIT
cd "$dir"
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts ws@8.23.0

cat >main.cjs <<'JS'
const { execSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const { writeFileSync } = require('node:fs');
const { WebSocketServer } = require('ws');

const children = [];
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
process.on('SIGTERM', () => process.exit(1));
setTimeout(() => fail('no result after 50 s'), 50_000);

function fail(reason) {
  console.log(`not as described: ${reason}`);
  process.exit(1);
}

(async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  writeFileSync('page.html', `<script>new WebSocket('ws://127.0.0.1:${server.address().port}/')</script>`);
  const env = { ...process.env, HOME: process.cwd() };

  async function originWith(...switches) {
    const options = ['--headless=new', `--user-data-dir=${process.cwd()}/profile${switches.length}`, ...switches];
    // Chromium has no sandbox for root.
    if (process.getuid() === 0) options.push('--no-sandbox');
    const chromium = spawn('chromium', [...options, `file://${process.cwd()}/page.html`], { env, stdio: 'ignore' });
    children.push(chromium);
    const [, request] = await once(server, 'connection');
    chromium.kill('SIGTERM');
    await once(chromium, 'exit');
    return request.headers.origin;
  }

  const plain = await originWith();
  const withSwitch = await originWith('--allow-file-access-from-files');
  console.log(execSync('chromium --version 2>/dev/null', { encoding: 'utf8', env }).trim());
  console.log(`Origin of a page from a file: ${plain}; with --allow-file-access-from-files: ${withSwitch}`);
  if (plain !== 'null' || withSwitch !== 'file://') fail('another Origin');
  console.log('as described: the switch changes the Origin');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node main.cjs
