#!/usr/bin/env bash
# Next.js 16.4.6: in `next dev`, what works in Vite to keep a connection on hot reload has no effect
#
# Guess: Turbopack has the `import.meta.hot` of Vite: a module assigns its connection to a property of
# `import.meta.hot.data`, and finds it there when it runs again.
#
# What happens: `import.meta.hot` is undefined, without a warning. `import.meta.turbopackHot` exists, but what a module
# assigns to its `data` is lost. Only what a `dispose` handler adds to its argument is in `data` when the module runs again.
#
# For users: code that must work in Vite and in Next should not keep a connection in a module. The state of a component
# survives hot reload in both. Saving a component does not run an unchanged module again that it imports.
# Needs npm and chromium.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir" || true' EXIT
cd "$dir"
export NEXT_TELEMETRY_DISABLED=1 NO_COLOR=1
echo '{"private":true,"type":"module"}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts next@16.4.6 react@19.3.1 react-dom@19.3.1 playwright-core@1.65.1
mkdir app
echo 'export default { devIndicators: false, allowedDevOrigins: ["127.0.0.1"] };' >next.config.js
echo 'export default function Layout({ children }) { return <html><body>{children}</body></html>; }' >app/layout.jsx
echo "import { Text } from './text.jsx'; export default function Page() { return <Text />; }" >app/page.jsx
cat >app/text.jsx <<'JS'
'use client';
import { label } from './connection.js';
export function Text() {
  return <p>first {label}</p>;
}
JS
cat >app/connection.js <<'JS'
globalThis.runs ??= [];
const turbopack = import.meta.turbopackHot;
const { assigned = null, disposed = null } = turbopack?.data ?? {};
globalThis.runs.push({ hot: typeof import.meta.hot, assigned, disposed });
if (turbopack?.data) turbopack.data.assigned = 'kept';
turbopack?.dispose((data) => {
  data.disposed = 'kept';
});
export const label = 'one';
JS

cat >main.mjs <<'JS'
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const next = spawn(process.execPath, ['node_modules/next/dist/bin/next', 'dev', '--hostname', '127.0.0.1', '--port', '0']);
process.on('exit', () => next.kill('SIGTERM'));
setTimeout(() => fail('no result after 120 s'), 120_000);

function fail(reason) {
  console.log(`not as described: ${reason}`);
  process.exit(1);
}

let output = '';
for (const stream of [next.stdout, next.stderr]) stream.on('data', (data) => (output += data));
next.once('exit', () => fail(output));
while (!/http:\/\/127\.0\.0\.1:\d+/.test(output)) await once(next.stdout, 'data');

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
const page = await browser.newPage();
await page.goto(/http:\/\/127\.0\.0\.1:\d+/.exec(output)[0]);
const shows = (text) => page.getByText(text, { exact: true }).waitFor({ timeout: 60_000 });
const runs = async () => JSON.stringify(await page.evaluate('runs'));
const edit = (file, text, replacement) => writeFileSync(file, readFileSync(file, 'utf8').replace(text, replacement));

await shows('first one');
// Saved again if the page did not listen for updates yet.
const isShown = () => page.getByText('second one', { exact: true }).isVisible();
for (let count = 0; !(await isShown()); count++) {
  writeFileSync('app/text.jsx', `${readFileSync('app/text.jsx', 'utf8').replace('first', 'second')}// ${count}\n`);
  await page.waitForTimeout(3_000);
}
const afterComponent = await runs();
edit('app/connection.js', "'one'", "'two'");
await shows('second two');
const afterModule = await runs();
console.log(`next ${JSON.parse(readFileSync('node_modules/next/package.json', 'utf8')).version}`);
console.log(`runs of the module after a component was saved: ${afterComponent}`);
console.log(`after the module was saved: ${afterModule}`);
await browser.close();
next.removeAllListeners('exit');
next.kill('SIGTERM');
await once(next, 'exit');
const first = '{"hot":"undefined","assigned":null,"disposed":null}';
const second = '{"hot":"undefined","assigned":null,"disposed":"kept"}';
if (afterComponent !== `[${first}]`) fail('the module ran again, or import.meta.hot exists');
if (afterModule !== `[${first},${second}]`) fail('another result after the module was saved');
console.log('as described: only dispose() of import.meta.turbopackHot keeps data');
process.exit(0);
JS
node main.mjs
