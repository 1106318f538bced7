/** The client as one file for a page, made from its sources, for tests. */
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { mangleProps } from './internal-names.js';

const here = fileURLToPath(new URL('.', import.meta.url));

/** Bundles an entry of the package from its sources; nothing is written. */
export async function bundle(entry, { minify }) {
  const { outputFiles, metafile } = await build({
    entryPoints: [`${here}src/${entry}.ts`],
    absWorkingDir: here,
    bundle: true,
    minify,
    ...(minify && { mangleProps }),
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
