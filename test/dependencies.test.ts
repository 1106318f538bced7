/**
 * Checks of uWebSockets.js: its authors do not publish it to npm, so we use a copy that somebody else published there.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { explainLoadFailure } from '../broker/src/connection/load-failure.js';
import { neededGlibc } from './glibc.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = 'node_modules/uWebSockets.js';
const json = (file: string) => JSON.parse(readFileSync(join(root, file), 'utf8'));

/**
 * The version that we have reviewed. An update must change this line too: an update of package-lock.json alone does not
 * bring other code into the process that holds all secrets.
 */
const version = '3.0.6';
const integrity = 'sha512-0Nw22DDOd1YGnJ8/IHYVCDHZXAVqLnjBxktl2bSjcJRVcgasb2Zs8WCRhL41IydraLLq001c6ycHdIS+rEcAxw==';
/** The SHA-256 of each loaded file, by its name. */
const loaded: Readonly<Record<string, string>> = {
  'uws.js': '9d5cd758ff1ecd8e632f291a10c8a161a8d8010a73b69f6b6a0ec39ef04510d2',
  'uws_linux_x64_115.node': 'f4fa5d7b697529b45ac8aa3d57385d9af51bc1d2b26aa9f5b68ca4361542e665',
  'uws_linux_arm64_115.node': '034e0fcccdc08f90df3b130f421516311831b1352fe38eab91abc2984c2fdf3a',
  'uws_linux_x64_127.node': '78e38a9a163b1cf33ce539619e5908111dea95a12e7943d95fbcdd524879caa8',
  'uws_linux_arm64_127.node': 'a7d9bc3ec166421a49416d5ea4f49118ae68ea1dbf8a765c4f45a79b0b6adb13',
  'uws_linux_x64_137.node': '3b549c14e01d9d1faf234cdf4b6f0fb08158605e3692cd0eb1b905e327bd3449',
  'uws_linux_arm64_137.node': 'b6eb007d627e00bcce03ad38f197124e9027c03f6fe784b37f97b8a6ea709cb4',
};

it('uWebSockets.js has the same version and hash in the manifest and in the lock file', () => {
  expect(json('broker/package.json').dependencies['uWebSockets.js']).toBe(`npm:uwebsockets@${version}`);
  const { packages } = json('package-lock.json') as { packages: Record<string, { name?: string }> };
  const entries = Object.entries(packages).filter(([path, { name }]) => /uwebsockets/i.test(path + (name ?? '')));
  expect(entries).toEqual([[folder, expect.objectContaining({ name: 'uwebsockets', version, integrity })]]);
  expect(entries[0]?.[1]).not.toHaveProperty('hasInstallScript');
});

it('uWebSockets.js has no install scripts and no dependencies', () => {
  const { name, version: installed, scripts = {}, ...manifest } = json(join(folder, 'package.json'));
  expect({ name, installed }).toEqual({ name: 'uwebsockets', installed: version });
  const run = ['preinstall', 'install', 'postinstall', 'prepublish', 'preprepare', 'prepare', 'postprepare'];
  expect(run.filter((script) => script in scripts)).toEqual([]);
  // npm would run node-gyp.
  expect(existsSync(join(root, folder, 'binding.gyp'))).toBe(false);
  for (const kind of ['dependencies', 'optionalDependencies', 'peerDependencies', 'bundleDependencies'])
    expect(manifest).not.toHaveProperty(kind);
});

it('a node loads only files of uWebSockets.js that we have reviewed', () => {
  for (const [file, sha256] of Object.entries(loaded)) {
    const content = readFileSync(join(root, folder, file));
    expect([file, createHash('sha256').update(content).digest('hex')]).toEqual([file, sha256]);
  }
  // This file loads only the binary.
  const calls = readFileSync(join(root, folder, 'uws.js'), 'utf8').match(/require\([^)]*\)/g);
  expect(calls).toEqual([
    "require('./uws_' + process.platform + '_' + process.arch + '_' + process.versions.modules + '.node')",
  ]);
});

/** The version of the ABI (`process.versions.modules`) of each major version of Node that is supported. */
const modules: Readonly<Record<string, number>> = { 20: 115, 22: 127, 24: 137, 26: 147 };
const binariesFor = (major: string): string[] =>
  ['x64', 'arm64']
    .map((arch) => join(root, folder, `uws_linux_${arch}_${modules[major]}.node`))
    .filter((file) => existsSync(file));

it('a node may run on the versions of Node that have a binary, and everything says so', () => {
  const majors = Object.keys(modules).filter((major) => binariesFor(major).length === 2);
  expect(majors).toEqual(['20', '22', '24']);
  for (const workspace of ['', 'broker/']) {
    const { node } = json(`${workspace}package.json`).engines as { node: string };
    expect(node.match(/(?<=\^)\d+/g)).toEqual(majors);
  }
  const system = { node: '26.0.0', platform: 'linux', arch: 'x64', glibc: '2.36' };
  expect(explainLoadFailure("Cannot find module './uws_linux_x64_147.node'", system)).toContain('Node 20, 22 or 24');
});

it('the documentation and the error sentence name the glibc that the binaries need', () => {
  const page = readFileSync(join(root, 'docs/operations.md'), 'utf8');
  const rows = [...page.matchAll(/^\| Node (\d+) \| ([^|]+) \| ([^|]+) \|/gm)];
  expect(rows.map(([, major = '', abi, glibc]) => [major, abi, glibc])).toEqual(
    Object.entries(modules).map(([major, abi]) => {
      const needed = new Set(binariesFor(major).map(neededGlibc));
      return [major, String(abi), [...needed].join() || 'no binary'];
    }),
  );
  for (const major of ['22', '24']) {
    const system = { node: `${major}.12.0`, platform: 'linux', arch: 'x64', glibc: '2.36' };
    for (const file of binariesFor(major))
      expect(explainLoadFailure("version `GLIBC_2.38' not found", system)).toContain(
        `needs glibc ${neededGlibc(file)}`,
      );
  }
});
