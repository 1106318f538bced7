/**
 * The folder `lib` of a tarball, from the output of `tsc --build`: modules as ES modules and as CommonJS, with their
 * types. They import the packages that users install, and include all others.
 */
import { copyFile, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type BuildOptions, build as buildForPage } from 'esbuild';
import { type InputOptions, type OutputChunk, type OutputOptions, rolldown } from 'rolldown';
import { dts } from 'rolldown-plugin-dts';
import { entryPoints, type Manifest, moduleOf, platformModules } from './manifest.js';

/** What belongs to every build of one package. */
interface Package {
  readonly folder: string;
  readonly lib: string;
  readonly external: (specifier: string) => boolean;
  /** Conditions for the files of included packages. */
  readonly conditionNames: string[];
}

interface LibraryOptions {
  /** Modules that the package starts as processes: paths in `dist` without extension. */
  readonly processes: readonly string[];
  /** Entries that pages load without a bundler: names of modules in `dist`. */
  readonly pages: readonly string[];
  /** Names of the packages that users install. */
  readonly imported: readonly string[];
  /** Modules that the package leaves out, as the end of their path without extension: importing one fails. */
  readonly excluded: readonly string[];
}

export async function buildLibrary(
  folder: string,
  manifest: Manifest,
  { processes, pages, imported, excluded }: LibraryOptions,
): Promise<void> {
  const lib = join(folder, 'lib');
  await rm(lib, { recursive: true, force: true });
  // What a package's own `imports` name stays in its tarball. Included packages have theirs resolved.
  const external = (specifier: string): boolean =>
    (specifier.startsWith('#') && manifest.imports !== undefined) ||
    imported.some((name) => specifier === name || specifier.startsWith(`${name}/`)) ||
    excluded.some((module) => specifier.endsWith(`/${module}.js`));
  // A package with a command, or with processes, runs only in Node.
  const platform = manifest.bin === undefined && processes.length === 0 ? 'browser' : 'node';
  const target: Package = { folder, lib, external, conditionNames: [platform, 'import', 'default'] };

  const entries = entryPoints(manifest).map(([, module]) => module);
  const shared = [...entries, ...platformModules(manifest)];
  const programs = [...Object.values(manifest.bin ?? {}).map(moduleOf), ...processes];
  const modules = await build(target, inputs(target, [...shared, ...programs], 'js'), named('esm', 'js'));
  if (shared.length > 0) {
    await build(target, inputs(target, shared, 'js'), named('cjs', 'cjs'));
    await buildTypes(target, entries);
  }
  await buildForPages(target, pages);
  await copyLicenses(target, modules);
}

/** Files of `dist` by the name that they have in `lib`. */
function inputs({ folder }: Package, modules: readonly string[], extension: string): Record<string, string> {
  return Object.fromEntries(
    modules.map((module) => [basename(module), join(folder, 'dist', `${module}.${extension}`)]),
  );
}

function named(format: 'esm' | 'cjs', extension: string): OutputOptions {
  return { format, entryFileNames: `[name].${extension}`, chunkFileNames: `[name]-[hash].${extension}` };
}

async function build(
  { folder, lib, external, conditionNames }: Package,
  input: Record<string, string>,
  output: OutputOptions,
  options: InputOptions = {},
): Promise<OutputChunk[]> {
  await using bundle = await rolldown({
    input,
    external,
    cwd: folder,
    platform: 'node',
    resolve: { conditionNames },
    // A busy machine is no fault of the build.
    checks: { bundlerTimings: false },
    onLog(level, { code, message }) {
      // 'use client' is in an entry, and stays there.
      if (level === 'warn' && code !== 'MODULE_LEVEL_DIRECTIVE') throw new Error(message);
    },
    ...options,
  });
  const { output: files } = await bundle.write({ dir: lib, ...output });
  return files.filter((file) => file.type === 'chunk');
}

/** `.d.ts` for ES modules, and the same declarations as `.d.cts` for CommonJS. */
async function buildTypes(target: Package, entries: readonly string[]): Promise<void> {
  const output = { ...named('esm', 'd.ts'), chunkFileNames: types };
  const chunks = await build(target, inputs(target, entries, 'd.ts'), output, {
    plugins: [dts({ dtsInput: true, tsconfig: false, sourcemap: false })],
  });
  const references = await referencesIn(join(target.folder, 'dist'));
  for (const { fileName } of chunks) {
    const path = join(target.lib, fileName);
    const text = references + (await readFile(path, 'utf8'));
    await writeFile(path, text);
    const forCommonJs = text.replace(/(["'])(\.\/[^"']+)\.js\1/g, '$1$2.cjs$1');
    await writeFile(join(target.lib, fileName.replace(/\.d\.ts$/, '.d.cts')), forCommonJs);
  }
}

/** The lines `/// <reference …` of all declarations in a folder: the build leaves them out. */
async function referencesIn(folder: string): Promise<string> {
  const files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith('.d.ts'));
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  const lines = texts.flatMap((text) => text.match(/^\/\/\/ <reference .*\n/gm) ?? []);
  return [...new Set(lines)].join('');
}

function types({ name }: { readonly name: string }): string {
  return `${name.replace(/\.d$/, '')}-[hash].d.ts`;
}

/**
 * Two minified files for each entry: for a classic script with the global name `Fanfare`, and as a module. Members in
 * the package's `internal-names.js` get short names. The other files keep them, for readable stack traces.
 */
async function buildForPages({ folder, lib }: Package, entries: readonly string[]): Promise<void> {
  for (const entry of entries) {
    const { mangleProps }: { readonly mangleProps: RegExp } = await import(join(folder, 'internal-names.js'));
    const outfile = join(lib, entry === 'index' ? 'fanfare' : `fanfare-${entry}`);
    const options: BuildOptions = {
      entryPoints: [join(folder, 'dist', `${entry}.js`)],
      bundle: true,
      minify: true,
      mangleProps,
      platform: 'browser',
      target: 'es2022',
    };
    await buildForPage({ ...options, format: 'iife', globalName: 'Fanfare', outfile: `${outfile}.min.js` });
    await buildForPage({ ...options, format: 'esm', outfile: `${outfile}.module.min.js` });
  }
}

/** The licences of included packages. */
async function copyLicenses({ lib }: Package, chunks: readonly OutputChunk[]): Promise<void> {
  const files = chunks.flatMap(({ moduleIds }) => moduleIds);
  const folders = new Map(
    files.flatMap((file) => {
      const [folder, name] = /^.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file) ?? [];
      return folder === undefined || name === undefined ? [] : [[name, folder] as const];
    }),
  );
  for (const [name, folder] of folders) {
    const licence = (await readdir(folder)).find((file) => /^licen[sc]e/i.test(file));
    if (licence === undefined) throw new Error(`The package ${name} has no licence file.`);
    await copyFile(join(folder, licence), join(lib, `${name.replace('/', '-')}.LICENSE`));
  }
}
