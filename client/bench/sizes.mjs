/**
 * The size of this client next to other clients: bundled and minified by the same esbuild, then compressed with gzip.
 * Installs the others in a temporary folder. Run by `npm run bench:size -w client` after
 * `npm run build`.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/** What an application imports, and the packages to install for it. */
const clients = [
  ['@fanfare/client/json', "export { createClient } from '@fanfare/client/json'"],
  ['@fanfare/client/fallback', "export { createClient } from '@fanfare/client/fallback'"],
  ['@fanfare/client', "export { createClient } from '@fanfare/client'"],
  ['graphql-ws 6.4.2', "export { createClient } from 'graphql-ws'", 'graphql-ws@6.4.2', 'graphql@17.1.0'],
  [
    '@trpc/client 11.25.2',
    "export { createTRPCClient, createWSClient, wsLink } from '@trpc/client'",
    ...['@trpc/client@11.25.2', '@trpc/server@11.25.2'],
  ],
  ['socket.io-client 4.8.4', "export { io } from 'socket.io-client'", 'socket.io-client@4.8.4'],
  ['centrifuge 5.8.0', "export { Centrifuge } from 'centrifuge'", 'centrifuge@5.8.0'],
];

const print = (...cells) => {
  const [name, ...numbers] = cells.map((cell, index) => (index === 0 ? cell.padEnd(26) : String(cell).padStart(10)));
  process.stdout.write(`${name}${numbers.join('')}\n`);
};

print('client', 'minified', 'gzip');
const folder = await mkdtemp(join(tmpdir(), 'fanfare-sizes-'));
try {
  const packages = clients.flatMap(([, , ...names]) => names);
  await writeFile(join(folder, 'package.json'), '{}');
  const install = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--legacy-peer-deps', ...packages];
  execFileSync('npm', install, { cwd: folder, stdio: 'ignore' });
  for (const [name, contents, ...names] of clients) {
    const { outputFiles } = await build({
      stdin: { contents, resolveDir: names.length > 0 ? folder : import.meta.dirname },
      bundle: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      target: 'es2022',
      legalComments: 'none',
      write: false,
    });
    const [{ contents: code }] = outputFiles;
    print(name, code.length, gzipSync(code, { level: 9 }).length);
  }
} finally {
  await rm(folder, { recursive: true });
}
