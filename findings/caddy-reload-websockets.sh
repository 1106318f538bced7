#!/usr/bin/env bash
# Caddy 2.6.2 (Debian 12): a reload closes all proxied WebSockets, and sends the upstream an invalid frame
#
# Guess: `caddy reload` with one more site leaves the connections of the other sites alone. At worst, both ends of a
# proxied WebSocket get a close frame.
#
# What happens: all proxied WebSockets are closed at once. The client gets 1001. The upstream gets a close frame without
# a mask, which RFC 6455 forbids, so it reports a protocol error and 1006. `stream_close_delay` does not exist yet (2.7).
#
# For users: each change of the file makes all clients reconnect at the same time. In the upstream, handle `error` on each
# connection: in Node.js, without a listener, it ends the process. The mask was fixed in 2.6.3 (caddyserver/caddy#5199).
# Needs npm and caddy 2.6.2 or apt-get.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts ws@8.23.0
# The installed Caddy if it is this version, else Debian's package, unpacked here.
if [ "$(caddy version 2>/dev/null)" != 2.6.2 ]; then
  apt-get -qq download caddy=2.6.2-5
  dpkg -x caddy_*.deb .
  PATH="$dir/usr/bin:$PATH"
fi

cat >main.cjs <<'JS'
const { execFileSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const { writeFileSync } = require('node:fs');
const { connect, createServer } = require('node:net');
const { setTimeout: sleep } = require('node:timers/promises');
const { WebSocket, WebSocketServer } = require('ws');

const children = [];
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
process.on('SIGTERM', () => process.exit(1));
setTimeout(() => fail('no result after 50 s'), 50_000);

function fail(reason) {
  console.log(`not as described: ${reason}`);
  process.exit(1);
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

const env = { ...process.env, HOME: process.cwd(), XDG_CONFIG_HOME: process.cwd(), XDG_DATA_HOME: process.cwd() };
const caddy = (...args) => execFileSync('caddy', args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'ignore'] });

(async () => {
  const upstream = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(upstream, 'listening');
  const [admin, site, otherSite] = [await freePort(), await freePort(), await freePort()];
  const proxy = (option = '') => `http://127.0.0.1:${site} {\n\treverse_proxy 127.0.0.1:${upstream.address().port}${option}\n}\n`;
  const head = `{\n\tadmin 127.0.0.1:${admin}\n}\n`;
  writeFileSync('Caddyfile', head + proxy());
  children.push(spawn('caddy', ['run', '--config', 'Caddyfile'], { env, stdio: 'ignore' }));
  const accepts = (port) => new Promise((done) => {
    const probe = connect(port, '127.0.0.1').on('connect', () => done(true, probe.destroy())).on('error', () => done(false));
  });
  while (!(await accepts(site))) await sleep(100);

  const seen = { frame: '', error: 'none', code: 0 };
  upstream.on('connection', (connection, request) => {
    request.socket.on('data', (data) => { seen.frame += data.toString('hex'); });
    connection.on('error', (error) => { seen.error = error.message; });
    connection.on('close', (code) => { seen.code = code; });
  });
  const client = new WebSocket(`ws://127.0.0.1:${site}`);
  await once(client, 'open');
  const closed = once(client, 'close');
  writeFileSync('Caddyfile', `${head}${proxy()}http://127.0.0.1:${otherSite} {\n\trespond "other"\n}\n`);
  caddy('reload', '--config', 'Caddyfile');
  const [code] = await Promise.race([closed, sleep(10_000, ['none: it stays open'])]);
  await sleep(500);

  writeFileSync('Caddyfile', head + proxy(' {\n\t\tstream_close_delay 5m\n\t}'));
  let delay = 'accepted';
  try { caddy('validate', '--adapter', 'caddyfile', '--config', 'Caddyfile'); } catch { delay = 'refused'; }

  console.log(`caddy ${caddy('version').trim()}`);
  console.log(`after a reload with one more site: close code of the client ${code}`);
  console.log(`the upstream got ${seen.frame} (hex; the mask bit is ${Number.parseInt(seen.frame.slice(2, 4), 16) & 0x80 ? 'set' : 'not set'})`);
  console.log(`the upstream reports: ${seen.error}; close code ${seen.code}`);
  console.log(`stream_close_delay: ${delay}`);
  if (code !== 1001) fail('the client was not closed with 1001');
  if (!seen.frame.startsWith('8802') || seen.code !== 1006) fail('the upstream got another frame');
  if (delay !== 'refused') fail('stream_close_delay exists');
  console.log('as described: the reload closed a WebSocket of an unchanged site, towards the upstream with an invalid frame');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node main.cjs
