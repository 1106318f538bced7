/** The size of the browser bundle, and the contents of a bundle for Node. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, it } from 'vitest';
import { bundle } from '../bundle.js';
import { internalNames } from '../internal-names.js';
import { startTestNode } from './test-node.js';

const kB = 1_024;

// The goals were 8 and 12 kB; docs/decisions.md says what needs the rest. The limit stays close to the size, so that
// growth shows.
it.each([
  ['json', 18.3 * kB],
  ['index', 22.4 * kB],
  ['fallback', 26 * kB],
] as const)('the entry %s stays within %i bytes of gzip', async (entry, limit) => {
  const { gzipBytes } = await bundle(entry, { minify: true });
  expect(gzipBytes).toBeLessThanOrEqual(limit);
});

it.each(['@fanfare/client/json', '@fanfare/client/fallback', '@fanfare/client'])(
  'the README has the size of %s, to three percent (npm run bench:size --workspace client)',
  async (name) => {
    const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
    const row = readme.split('\n').find((line) => line.startsWith(`| \`${name}\` `)) ?? '';
    const [minified = 0, gzip = 0] = row
      .split('|')
      .slice(2, 4)
      .map((cell) => Number(cell.replace(',', '')));
    const { outputFiles } = await build({
      stdin: { contents: `export { createClient } from '${name}'`, resolveDir: import.meta.dirname },
      ...{ bundle: true, minify: true, format: 'esm', platform: 'browser', target: 'es2022' },
      ...{ legalComments: 'none', write: false },
    });
    const code = outputFiles[0]?.contents ?? Buffer.alloc(0);
    expect(Math.abs(code.length / minified - 1)).toBeLessThan(0.03);
    expect(Math.abs(gzipSync(code, { level: 9 }).length / gzip - 1)).toBeLessThan(0.03);
  },
);

it('the browser bundle contains no code for Node, and none that a Content-Security-Policy forbids', async () => {
  for (const entry of ['json', 'index', 'fallback'] as const) {
    const { code, inputs } = await bundle(entry, { minify: false });
    expect(inputs.filter((file) => /node_modules\/(?!eventsource-parser)|websocket-node/.test(file))).toEqual([]);
    expect(code).not.toMatch(/["']node:|\brequire\(|\bnew Function\b|\beval\(/);
  }
});

it('the client still has each name that gets a short one in files for pages', async () => {
  const { code } = await bundle('index', { minify: false });
  expect(internalNames.filter((name) => !new RegExp(`[.{,]\\s*${name}\\b`).test(code))).toEqual([]);
});

it.each(['json', 'fallback'] as const)('the entry %s contains no MessagePack code', async (entry) => {
  const { inputs, code } = await bundle(entry, { minify: false });
  expect(inputs.filter((file) => /client\/src\/.*msgpack/.test(file))).toEqual([]);
  expect(code).not.toMatch(/class \w*(Msgpack|Reader2?\b|Writer)/);
});

it.each(['cjs', 'esm'] as const)('a bundle for Node is one file, and connects: %s', async (format) => {
  await using node = await startTestNode();
  const folder = await mkdtemp(join(tmpdir(), 'fanfare-bundle-'));
  try {
    const outfile = join(folder, format === 'esm' ? 'app.mjs' : 'app.cjs');
    const contents = `
      import { createClient } from '@fanfare/client';
      const client = createClient(process.argv[2]);
      client.publish('a', 1).then(() => client.drain()).then(() => console.log('published'));
    `;
    const resolveDir = import.meta.dirname;
    await build({
      stdin: { contents, resolveDir },
      bundle: true,
      platform: 'node',
      format,
      outfile,
      conditions: ['source'],
    });
    const { stdout } = await promisify(execFile)(process.execPath, [outfile, node.url], { cwd: folder });
    expect(stdout).toBe('published\n');
  } finally {
    await rm(folder, { recursive: true });
  }
});
