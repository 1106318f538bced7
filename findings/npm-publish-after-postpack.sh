#!/usr/bin/env bash
# npm 11.19.1: `npm publish` sends the registry the package.json after `postpack`, not the one in the tarball
#
# Guess: `prepack` changes package.json, `postpack` restores it, as many tools do. The registry gets the dependencies of
# the package.json that is in the tarball.
#
# What happens: npm makes the tarball, runs `postpack`, and reads package.json again. The tarball has the changed
# dependencies, the registry lists the restored ones. Package managers install what the registry lists.
#
# For users: a dependency that `prepack` adds is missing after `npm install`. Publish the tarball instead: `npm pack`,
# then `npm publish <tarball>`. npm then reads the package.json in it.
# Needs npm and tar.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts npm@11.19.1

mkdir project
cat >project/package.json <<'JSON'
{
  "name": "some-library",
  "version": "1.0.0",
  "dependencies": { "in-the-repository": "1.0.0" },
  "scripts": {
    "prepack": "cp package.json original.json && npm pkg set dependencies.in-the-tarball=1.0.0 && npm pkg delete dependencies.in-the-repository",
    "postpack": "mv original.json package.json"
  }
}
JSON

cat >main.cjs <<'JS'
const { execFile, execFileSync } = require('node:child_process');
const { createServer } = require('node:http');
const { writeFileSync } = require('node:fs');
const { join } = require('node:path');

const npm = join(__dirname, 'node_modules/npm/bin/npm-cli.js');
setTimeout(() => fail('no result after 50 s'), 50_000);

function fail(reason) {
  console.log(`not as described: ${reason}`);
  process.exit(1);
}

/** A registry that has no package, and accepts each one. */
const published = [];
const registry = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  if (request.method === 'PUT') published.push(JSON.parse(body));
  response.writeHead(request.method === 'PUT' ? 201 : 404, { 'Content-Type': 'application/json' }).end('{}');
});

/** The dependencies that the registry lists, and those in the tarball. */
async function publish(what) {
  const { port } = registry.address();
  const settings = [`--registry=http://127.0.0.1:${port}`, `--//127.0.0.1:${port}/:_authToken=none`, '--ignore-scripts=false'];
  await new Promise((resolve, reject) => {
    const options = { cwd: join(__dirname, 'project') };
    execFile(process.execPath, [npm, 'publish', what, ...settings], options, (error, _stdout, stderr) =>
      error ? reject(new Error(stderr)) : resolve(),
    );
  });
  const { versions, _attachments } = published.pop();
  writeFileSync('published.tgz', Buffer.from(Object.values(_attachments)[0].data, 'base64'));
  const packed = execFileSync('tar', ['-xzOf', 'published.tgz', 'package/package.json'], { encoding: 'utf8' });
  const names = (manifest) => Object.keys(manifest.dependencies ?? {}).join(', ');
  return { listed: names(versions['1.0.0']), packed: names(JSON.parse(packed)) };
}

registry.listen(0, '127.0.0.1', async () => {
  try {
    const folder = await publish('.');
    execFileSync(process.execPath, [npm, 'pack', '--silent'], { cwd: join(__dirname, 'project') });
    const tarball = await publish('./some-library-1.0.0.tgz');
    console.log(`npm ${require('npm/package.json').version}, Node.js ${process.version}`);
    console.log(`npm publish: the registry lists ${folder.listed}; the tarball has ${folder.packed}`);
    console.log(`npm publish <tarball>: the registry lists ${tarball.listed}; the tarball has ${tarball.packed}`);
    if (folder.listed !== 'in-the-repository' || folder.packed !== 'in-the-tarball') fail('the folder was published consistently');
    if (tarball.listed !== 'in-the-tarball' || tarball.packed !== 'in-the-tarball') fail('the tarball was not');
    console.log('as described: the registry and the tarball of a published folder have different dependencies');
    process.exit(0);
  } catch (error) {
    fail(error.stack);
  }
});
JS
node main.cjs
