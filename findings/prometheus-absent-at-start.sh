#!/usr/bin/env bash
# Prometheus 2.42.0 (Debian 12): static targets begin 5 s late, so alerts with `absent(up == 1)` fire at a first start
#
# Guess: with `scrape_interval: 1s`, a target that the configuration file names is scraped within the first second or two.
# An alert `absent(up == 1)` does not fire if the target is up.
#
# What happens: the target is unknown for the first 5 s (also to the targets page), but rules are evaluated from the start.
# The alert fires, without `for`, until the first scrape.
#
# For users: without a `for`, each new Prometheus sends a false alert. A test that starts Prometheus has to wait for the
# target, not for "ready".
# Needs node and prometheus 2.42.0 or apt-get.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
# The installed Prometheus if it is this version, else Debian's package, unpacked here.
if ! prometheus --version 2>&1 | grep -q 'version 2\.42\.0'; then
  apt-get -qq download prometheus=2.42.0+ds-5+deb12u1
  dpkg -x prometheus_*.deb .
  PATH="$dir/usr/bin:$PATH"
fi
cat >rules.yml <<'YAML'
groups:
  - name: example
    rules:
      - alert: NothingIsUp
        expr: absent(up == 1)
YAML

cat >main.cjs <<'JS'
const { execSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const { writeFileSync } = require('node:fs');
const { createServer } = require('node:net');
const { setTimeout: sleep } = require('node:timers/promises');

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

(async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  // The target is Prometheus itself, which is up.
  writeFileSync('prometheus.yml', `
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [rules.yml]
scrape_configs: [{ job_name: itself, static_configs: [{ targets: ['127.0.0.1:${port}'] }] }]
`);
  const options = ['--config.file=prometheus.yml', '--storage.tsdb.path=data', `--web.listen-address=127.0.0.1:${port}`];
  children.push(spawn('prometheus', options, { stdio: 'ignore' }));
  const isReady = () => fetch(`${url}/-/ready`).then((response) => response.ok, () => false);
  while (!(await isReady())) await sleep(50);

  const ready = Date.now();
  const ask = async (path) => (await (await fetch(`${url}/api/v1/${path}`)).json()).data;
  const seconds = () => (Date.now() - ready) / 1000;
  let fired = null;
  let known = null;
  let over = null;
  while (over === null && seconds() < 20) {
    const firing = (await ask('alerts')).alerts.some((alert) => alert.state === 'firing');
    const targets = (await ask('targets')).activeTargets.length;
    if (firing) fired ??= seconds();
    if (targets > 0) known ??= seconds();
    if (fired !== null && known !== null && !firing) over = seconds();
    if (fired === null && known !== null && seconds() > known + 5) break;
    await sleep(100);
  }
  const show = (value) => (value === null ? 'never' : `${value.toFixed(1)} s after it was ready`);
  console.log(execSync('prometheus --version 2>&1', { encoding: 'utf8' }).split('\n')[0]);
  console.log(`absent(up == 1) fires: ${show(fired)}`);
  console.log(`the static target is known: ${show(known)}`);
  console.log(`the alert is over: ${show(over)}`);
  if (fired === null || known === null || over === null) fail('the alert did not fire and end');
  if (known < 3) fail('the target is known from the start');
  console.log('as described: the alert fires although its target is up');
  process.exit(0);
})().catch((error) => fail(error.stack));
JS
node main.cjs
