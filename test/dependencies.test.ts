/**
 * Checks of uWebSockets.js: its authors do not publish it to npm, so we use a copy that somebody else published there.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

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
