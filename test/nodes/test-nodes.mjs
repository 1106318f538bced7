/**
 * `npm run test:nodes`: runs tests with one version of Node after the other. Each version comes from npm and stays in a
 * folder in node_modules: as dependencies of the repository, they would make `npm ci` slow.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { choices, describeOptions, parseOptions, runCommand, text, toggle } from '../../tools/kit/dist/options.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const versions = JSON.parse(readFileSync(new URL('versions.json', import.meta.url), 'utf8'));
const majorOf = (version) => version.split('.')[0];

const options = {
  only: choices('major versions of Node', [...new Set(versions.map(majorOf))], 'all'),
  broker: toggle('run the tests of the broker instead; on Debian 12 with the glibc of Debian 13, as root'),
  reports: text("also write Vitest's JSON report of each version to this folder", '<folder>', null),
};
const help = `Runs the tests of the client and the protocol with Node ${versions.join(', ')}. Installs these with npm if they are
missing, 100 MB each. The nodes that the client connects to run with the Node of this machine.

usage: npm run test:nodes [-- options]

${describeOptions(options)}
`;

/** Returns the path of the program. Throws if npm cannot install it, or if this system cannot run it. */
function install(version) {
  const folder = join(root, 'node_modules/.cache/test-nodes', version);
  const program = join(folder, 'node_modules/node/bin/node');
  const isThere = () => spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout === `v${version}\n`;
  if (isThere()) return program;
  const name = `node-${process.platform}-${process.arch}@${version}`;
  const flags = ['--prefix', folder, '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  spawnSync('npm', ['install', ...flags, `node@npm:${name}`], { stdio: 'inherit' });
  if (!isThere()) throw new Error(`npm could not install ${name}, or this system cannot run it.`);
  return program;
}

/** Whether all tests pass. */
function passes(version, areOfBroker, reports) {
  process.stdout.write(`\nNode ${version}\n`);
  const program = install(version);
  const vitest = [program, 'node_modules/vitest/vitest.mjs', 'run'];
  const [command, ...args] = areOfBroker
    ? [join(root, 'test/nodes/with-glibc-of-debian-13.sh'), ...vitest, 'broker/', 'test/deployment/image.test.ts']
    : [...vitest, '--config', 'vitest.nodes.config.ts'];
  if (reports !== null)
    args.push('--reporter=default', '--reporter=json', `--outputFile.json=${resolve(reports, `node-${version}.json`)}`);
  const env = { ...process.env, MACHINE_NODE: process.execPath };
  // The image's build steps call `node` by its name.
  if (areOfBroker) env.PATH = `${dirname(program)}:${env.PATH}`;
  return spawnSync(command, args, { cwd: root, stdio: 'inherit', env }).status === 0;
}

await runCommand(async (args) => {
  const { only, broker, reports } = parseOptions(args, options, () => help).values;
  const failed = versions
    .filter((version) => only.includes(majorOf(version)))
    // uWebSockets.js has no binary for newer ones.
    .filter((version) => !broker || Number(majorOf(version)) <= 24)
    .filter((version) => !passes(version, broker, reports));
  if (failed.length > 0) throw new Error(`Tests failed with Node ${failed.join(', ')}.`);
});
