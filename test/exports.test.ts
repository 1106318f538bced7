/** Every export has an importer. Exempt are the entry points of packages, which users import. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

interface Manifest {
  readonly name: string;
  readonly exports?: Readonly<Record<string, { readonly source?: string }>>;
  readonly imports?: Readonly<Record<string, Readonly<Record<string, { readonly source?: string }>>>>;
}

type Names = ReadonlySet<string>;

const root = fileURLToPath(new URL('..', import.meta.url));

const manifests = new Map<string, Manifest>(
  readManifest().workspaces.map((folder: string) => [folder, readManifest(folder)]),
);

function readManifest(folder = '') {
  return JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
}

const paths = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '*.ts', '*.js', '*.mjs'],
  { cwd: root, encoding: 'utf8' },
)
  .split('\0')
  .filter((path) => path !== '' && existsSync(join(root, path)));

const sources = new Map(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]));

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
}

/** The files that a specifier means, from the root. */
function targetsOf(from: string, specifier: string): string[] {
  if (specifier.startsWith('.'))
    return [relative(root, resolve(root, dirname(from), specifier)).replace(/\.js$/, '.ts')];
  for (const [folder, { name, exports = {}, imports = {} }] of manifests) {
    const own = from.startsWith(`${folder}/`) ? Object.values(imports[specifier] ?? {}) : [];
    if (own.length > 0) return own.flatMap(({ source }) => (source === undefined ? [] : [join(folder, source)]));
    if (specifier !== name && !specifier.startsWith(`${name}/`)) continue;
    const path = `.${specifier.slice(name.length)}`;
    for (const [pattern, { source }] of Object.entries(exports)) {
      const [before = '', after] = pattern.split('*');
      const isMatch = after === undefined ? path === pattern : path.startsWith(before);
      if (isMatch && source !== undefined) return [join(folder, source.replace('*', path.slice(before.length)))];
    }
  }
  return [];
}

/** The names in braces of an import or export, as the other file calls them. */
function namesIn(clause: string, side: 'before as' | 'after as'): string[] {
  const list = /\{([^}]*)\}/.exec(clause)?.[1] ?? '';
  return list.split(',').flatMap((item) => {
    const [name = '', alias = name] = item
      .trim()
      .replace(/^type\s+/, '')
      .split(/\s+as\s+/);
    return name === '' ? [] : [side === 'before as' ? name : alias];
  });
}

/** What a file imports, by specifier. `*`: everything. */
function importsOf(text: string): (readonly [specifier: string, names: readonly string[]])[] {
  const statements = [...text.matchAll(/(?:^|[^\w.])(?:import|export)\s([^'";=]*?)\sfrom\s*['"]([^'"]+)['"]/gm)];
  const calls = [...text.matchAll(/(?:^|[^\w.])import\(\s*['"]([^'"]+)['"]/gm)];
  return [
    ...statements.map(([, clause = '', specifier = '']) => {
      const names = namesIn(clause, 'before as');
      return [specifier, clause.includes('*') ? ['*'] : names] as const;
    }),
    ...calls.map(([, specifier = '']) => [specifier, ['*']] as const),
  ];
}

function exportsOf(text: string): string[] {
  const declared = text.matchAll(
    /^export\s+(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(?:const|let|function\*?|class|interface|type|enum)\s+(\w+)/gm,
  );
  const listed = text.matchAll(/^export\s+(?:type\s+)?(\{[^}]*\})/gm);
  return [
    ...[...declared].map(([, name = '']) => name),
    ...[...listed].flatMap(([, list = '']) => namesIn(list, 'after as')),
  ];
}

/** `file: name` for each export that no other file imports. */
function unusedExports(texts: ReadonlyMap<string, string>, isExempt: (path: string) => boolean): string[] {
  const imported = new Map<string, Set<string>>();
  for (const [from, text] of texts) {
    for (const [specifier, names] of importsOf(withoutComments(text))) {
      for (const target of targetsOf(from, specifier)) {
        imported.set(target, new Set<string>([...(imported.get(target) ?? []), ...names]));
      }
    }
  }
  return [...texts].flatMap(([path, text]) => {
    const names: Names = imported.get(path) ?? new Set();
    if (isExempt(path) || names.has('*')) return [];
    return exportsOf(withoutComments(text)).flatMap((name) => (names.has(name) ? [] : [`${path}: ${name}`]));
  });
}

const entryPoints: Names = new Set(
  [...manifests].flatMap(([folder, { exports = {} }]) =>
    Object.values(exports).flatMap(({ source = '*' }) => (source.includes('*') ? [] : [join(folder, source)])),
  ),
);

/** Types without an importer that the compiler needs to describe other exports. */
const needed: Names = new Set(['loadtest/src/scenarios/option.ts: ScenarioOption']);

/** Entry points, tests, which export nothing, and what is not TypeScript. */
const isExempt = (path: string): boolean => entryPoints.has(path) || !/(?<!\.d|\.test)\.ts$/.test(path);

it('every export has an importer', () => {
  expect(new Set(unusedExports(sources, isExempt))).toEqual(needed);
});

describe('this test', () => {
  const declarations = `export const a = 1;
// export const x = 1;
export async function b() {}
export abstract class C {}
export interface D { readonly e: number }
export type { F as G } from './other.js';
const h = 1;`;

  it('finds exports of every form', () => {
    const texts = new Map([['broker/src/part.ts', declarations]]);
    const names = ['a', 'b', 'C', 'D', 'G'].map((name) => `broker/src/part.ts: ${name}`);
    expect(unusedExports(texts, () => false)).toEqual(names);
    expect(unusedExports(texts, () => true)).toEqual([]);
  });

  it.each([
    [
      'broker/src/relay/user.ts',
      "import { a, type b as renamed,\n  C } from '../part.js'; import type { D, G } from '../part.js';",
      [],
    ],
    ['broker/src/index.ts', "export { a, b, C } from './part.js';", ['D', 'G']],
    ['broker/src/user.ts', "const { a } = await import('./part.js');", []],
    ['broker/src/user.ts', "export * from './part.js';", []],
    ['broker/src/user.ts', "// import { a } from './part.js';", ['a', 'b', 'C', 'D', 'G']],
    ['tools/fuzz/src/user.ts', "import { a, b, C, D } from '@fanfare/broker/internal/part';", ['G']],
    ['tools/fuzz/src/user.ts', "import { a, b, C, D, G } from '@fanfare/broker';", ['a', 'b', 'C', 'D', 'G']],
  ])('finds importers: %s with %s', (path, text, unused) => {
    const texts = new Map([
      ['broker/src/part.ts', declarations],
      [path, text],
    ]);
    expect(unusedExports(texts, (file) => file === path)).toEqual(unused.map((name) => `broker/src/part.ts: ${name}`));
  });

  it('finds the files of a specifier that depends on the platform', () => {
    expect(targetsOf('client/src/index.ts', '#websocket')).toEqual([
      'client/src/websocket-node.ts',
      'client/src/websocket.ts',
    ]);
    expect(targetsOf('broker/src/index.ts', '#websocket')).toEqual([]);
  });
});
