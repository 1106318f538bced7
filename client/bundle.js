/** Bundles for browsers that load a file instead of a package. `npm run build:bundle` writes them to `dist/bundle`. */
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));

export const bundles = [
  { file: 'fanfare.js', entry: 'index', minify: false },
  { file: 'fanfare.min.js', entry: 'index', minify: true },
  { file: 'fanfare-json.min.js', entry: 'json', minify: true },
];

/** Bundles an entry of the package from its sources; nothing is written. */
export async function bundle(entry, { minify }) {
  const { outputFiles, metafile } = await build({
    entryPoints: [`${here}src/${entry}.ts`],
    absWorkingDir: here,
    bundle: true,
    minify,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    conditions: ['source'],
    legalComments: 'none',
    metafile: true,
    write: false,
  });
  const code = outputFiles[0].text;
  return {
    code,
    bytes: Buffer.byteLength(code),
    gzipBytes: gzipSync(code, { level: 9 }).length,
    inputs: Object.keys(metafile.inputs),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await mkdir(`${here}dist/bundle`, { recursive: true });
  for (const { file, entry, minify } of bundles) {
    const { code, bytes, gzipBytes } = await bundle(entry, { minify });
    await writeFile(`${here}dist/bundle/${file}`, code);
    process.stdout.write(`${file.padEnd(20)} ${bytes} bytes, ${gzipBytes} gzip\n`);
  }
}
