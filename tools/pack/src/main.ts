/**
 * `npm pack` runs this in the folder of a package: `prepack` before it reads the files, `postpack` after it.
 *
 * `--process <module>`: a module that the package starts as a process, as a path in `dist` without extension.
 * `--page <entry>`: an entry that pages load without a bundler, as a module in `dist`. The package needs a file
 * `internal-names.js` that exports `mangleProps`: which members get short names.
 * `--include <name>`: a dependency to include in the package, because a tool that loads CommonJS cannot load it.
 * `--exclude <module>`: a module that the package leaves out, as the end of its path without extension: importing it
 * fails.
 */
import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildLibrary } from './library.js';
import { type Manifest, publishedManifest, type RootManifest, remainingDependencies } from './manifest.js';
import { putPublishedFiles, restoreFiles } from './published-files.js';
import { withAbsoluteLinks } from './readme.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = process.cwd();

interface Options {
  readonly process: readonly string[];
  readonly page: readonly string[];
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

async function prepack({ process: processes, page: pages, include, exclude }: Options): Promise<void> {
  // An earlier `npm pack` may have been interrupted.
  await restoreFiles(folder);
  const read = (...path: string[]): Promise<string> => readFile(join(...path), 'utf8');
  const manifest = JSON.parse(await read(folder, 'package.json')) as Manifest;
  const { repository } = JSON.parse(await read(root, 'package.json')) as RootManifest;
  const place = { repository, directory: relative(root, folder) };
  const dependencies = remainingDependencies(manifest, include);
  const imported = Object.keys({ ...dependencies, ...manifest.peerDependencies });
  await buildLibrary(folder, manifest, { processes, pages, imported, excluded: exclude });
  await putPublishedFiles(folder, {
    'package.json': `${JSON.stringify(publishedManifest(manifest, place, dependencies), null, 2)}\n`,
    'README.md': withAbsoluteLinks(await read(folder, 'README.md'), place),
    LICENSE: await read(root, 'LICENSE'),
  });
}

const several = { type: 'string', multiple: true, default: [] as string[] } as const;
const { values, positionals } = parseArgs({
  options: { process: several, page: several, include: several, exclude: several },
  allowPositionals: true,
});
if (positionals[0] === 'prepack') await prepack(values);
else if (positionals[0] === 'postpack') await restoreFiles(folder);
else throw new Error('The first argument must be prepack or postpack.');
