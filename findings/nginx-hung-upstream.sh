#!/usr/bin/env bash
# nginx 1.22.1 (Debian 12): clients that give up before `proxy_read_timeout` keep a hung upstream in use
#
# Guess: with two upstreams and the default `max_fails=1`, one that hangs is left out soon: the first handshakes that it
# does not answer count as failures.
#
# What happens: a failure counts only if nginx itself gives up (`proxy_read_timeout`, 60 s). A client that gives up first
# leaves a 499 in the log and no failure. So every second handshake goes to the hung upstream, until one client waits long
# enough.
#
# For users: WebSockets need a long `proxy_read_timeout`, and clients give up after a few seconds. So passive checks hardly
# ever find an upstream that hangs. It needs an active check by something else.
# Needs npm and nginx 1.22.1 or apt-get.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts ws@8.23.0
# The installed nginx if it is this version, else Debian's package, unpacked here.
PATH="$PATH:/usr/sbin"
if ! nginx -v 2>&1 | grep -q 'nginx/1\.22\.1$'; then
  apt-get -qq download nginx=1.22.1-9+deb12u11
  dpkg -x nginx_*.deb .
  PATH="$dir/usr/sbin:$PATH"
fi

cat >upstream.cjs <<'JS'
const { WebSocketServer } = require('ws');
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => console.log(server.address().port));
JS
cat >main.cjs <<'JS'
const { execSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const { readFileSync, writeFileSync } = require('node:fs');
const { createServer } = require('node:net');
const { setTimeout: sleep } = require('node:timers/promises');
const { WebSocket } = require('ws');

const children = [];
let nginx;
process.on('exit', () => {
  // With SIGTERM, nginx ends its worker process, too.
  nginx?.kill('SIGTERM');
  for (const child of children) child.kill('SIGKILL');
});
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

async function upstream() {
  const child = spawn(process.execPath, ['upstream.cjs'], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const [port] = await once(child.stdout, 'data');
  return { child, port: Number(port) };
}

(async () => {
  const good = await upstream();
  const hung = await upstream();
  const port = await freePort();
  writeFileSync('nginx.conf', `
    daemon off; pid nginx.pid; error_log error.log; worker_processes 1;
    events {}
    http {
      access_log access.log;
      client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
      upstream nodes { server 127.0.0.1:${good.port}; server 127.0.0.1:${hung.port}; }
      server {
        listen 127.0.0.1:${port};
        location / {
          proxy_pass http://nodes;
          proxy_http_version 1.1;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection upgrade;
          # 5 s and not the default of 60 s, for a short demonstration. The clients wait for 1 s.
          proxy_read_timeout 5s;
        }
      }
    }`);
  nginx = spawn('nginx', ['-p', `${process.cwd()}/`, '-c', 'nginx.conf'], { stdio: 'ignore' });

  const handshake = (handshakeTimeout) => new Promise((done) => {
    const client = new WebSocket(`ws://127.0.0.1:${port}`, { handshakeTimeout });
    client.on('open', () => done('ok')).on('error', (error) => done(/timed out/.test(error.message) ? 'gave up' : error.message));
    client.on('open', () => client.terminate());
  });
  const handshakes = async (count) => {
    const outcomes = [];
    while (outcomes.length < count) outcomes.push(await handshake(1000));
    return outcomes.join(', ');
  };
  while ((await handshake(1000)) !== 'ok') await sleep(100);

  hung.child.kill('SIGSTOP');
  const impatient = await handshakes(12);
  const patient = await handshake(20_000);
  const after = await handshakes(6);

  console.log(execSync('nginx -v 2>&1', { encoding: 'utf8' }).trim());
  console.log(`12 clients that wait for 1 s: ${impatient}`);
  console.log(`lines with 499 in the access log: ${readFileSync('access.log', 'utf8').match(/" 499 /g)?.length ?? 0}`);
  console.log(`one client that waits: ${patient}, on the other upstream`);
  console.log(`6 more clients that wait for 1 s: ${after}`);
  if (impatient.match(/gave up/g)?.length !== 6) fail('not every second client gave up');
  if (patient !== 'ok' || after.includes('gave up')) fail('the counted failure did not take the upstream out');
  console.log('as described: only a timeout of nginx itself counts');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node main.cjs
