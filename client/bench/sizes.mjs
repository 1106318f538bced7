/**
 * The size of this client next to other clients: bundled and minified by the same esbuild, then compressed with gzip.
 * Installs the others in a temporary folder. Run by `npm run bench:size -w client`.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { bundle } from '../bundle.js';

/** What an application imports. */
const peers = [
  ['graphql-ws', '6.4.2', "export { createClient } from 'graphql-ws'", 'graphql@17.1.0'],
  [
    '@trpc/client',
    '11.25.2',
    "export { createTRPCClient, createWSClient, wsLink } from '@trpc/client'",
    '@trpc/server@11.25.2',
  ],
  ['socket.io-client', '4.8.4', "export { io } from 'socket.io-client'"],
  ['centrifuge', '5.8.0', "export { Centrifuge } from 'centrifuge'"],
];

const print = (name, bytes, gzipBytes) =>
  process.stdout.write(`${name.padEnd(26)}${String(bytes).padStart(8)}${String(gzipBytes).padStart(8)}\n`);

process.stdout.write('client                       bytes    gzip\n');
for (const entry of ['json', 'index']) {
  const { bytes, gzipBytes } = await bundle(entry, { minify: true });
  print(`fanfare, entry ${entry}`, bytes, gzipBytes);
}
const folder = await mkdtemp(join(tmpdir(), 'fanfare-sizes-'));
try {
  const packages = peers.flatMap(([name, version, , ...more]) => [`${name}@${version}`, ...more]);
  await writeFile(join(folder, 'package.json'), '{}');
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--legacy-peer-deps', ...packages], {
    cwd: folder,
    stdio: 'ignore',
  });
  for (const [name, version, contents] of peers) {
    const { outputFiles } = await build({
      stdin: { contents, resolveDir: folder },
      bundle: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      target: 'es2022',
      legalComments: 'none',
      write: false,
    });
    const [{ contents: code }] = outputFiles;
    print(`${name} ${version}`, code.length, gzipSync(code, { level: 9 }).length);
  }
} finally {
  await rm(folder, { recursive: true });
}
