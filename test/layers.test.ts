/**
 * Imports go one way. Between workspaces as the table says; inside broker/src from each folder only to folders below it; nowhere in a
 * loop. Type-only imports count.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Which workspaces a workspace may import. Tests may import any. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  broker: ['protocol'],
  client: ['protocol'],
  'local-cluster': [],
  loadtest: ['protocol', 'client', 'local-cluster'],
  examples: ['client', 'local-cluster'],
  fuzz: ['protocol', 'broker', 'client'],
};

/** The journey of a message through broker/src: a folder imports only from those behind it. */
const journey = ['api', 'connection', 'handlers', 'auth', 'limits', 'presence', 'relay', 'topics'];
/** Files of broker/src that everybody may import, and that import no part of the journey. */
const leaves = [
  ...['check-link.ts', 'file-watch.ts', 'log.ts', 'metrics.ts', 'nearest.ts', 'pem-file.ts', 'publisher-link.ts'],
  ...['redis-credentials.ts', 'redis-fault.ts', 'redis-link.ts', 'redis-options.ts', 'redis-url.ts', 'redis.ts'],
  ...['repeats.ts', 'sentinel-watch.ts', 'standard-output.ts', 'store-link.ts', 'subscriber-link.ts', 'text-file.ts'],
  'versions.ts',
];
/** The libraries that only these files of broker/src may import. */
const onlyIn: Readonly<Record<string, readonly string[]>> = {
  'uWebSockets.js': ['connection/server.ts'],
  ioredis: ['publisher-link.ts', 'redis-link.ts', 'redis-options.ts', 'sentinel-watch.ts'],
  '@opentelemetry/sdk-trace': ['tracing.ts'],
};

interface Import {
  readonly from: string;
  readonly specifier: string;
}

/** `import … from '…'`, `export … from '…'`, `import('…')`, `import '…'`, with or without `type`. */
const importPattern =
  /(?:^|[^\w.])(?:import|export)\s[^'";]*?\sfrom\s*['"]([^'"]+)['"]|(?:^|[^\w.])import\s*\(?\s*['"]([^'"]+)['"]/gms;

function importsOf(text: string): string[] {
  return [...withoutComments(text).matchAll(importPattern)].map((match) => match[1] ?? match[2] ?? '');
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
}

function sourcesOf(workspace: string): string[] {
  const folder = join(root, workspace, 'src');
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .map((file) => join(workspace, 'src', file));
}

function importsIn(workspace: string): Import[] {
  return sourcesOf(workspace).flatMap((from) =>
    importsOf(readFileSync(join(root, from), 'utf8')).map((specifier) => ({ from, specifier })),
  );
}

/** The file that a relative import names, from the root; null for a package. */
function target({ from, specifier }: Import): string | null {
  if (!specifier.startsWith('.')) return null;
  return relative(root, resolve(root, dirname(from), specifier)).replace(/\.js$/, '.ts');
}

/** A loop of imports, as the files in it, or null. */
function findLoop(edges: ReadonlyMap<string, readonly string[]>): string[] | null {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): string[] | null => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return null;
    path.push(file);
    for (const next of edges.get(file) ?? []) {
      const loop = visit(next);
      if (loop !== null) return loop;
    }
    path.pop();
    done.add(file);
    return null;
  };
  for (const file of edges.keys()) {
    const loop = visit(file);
    if (loop !== null) return loop;
  }
  return null;
}

/** The place of a broker file in the journey; null for leaves and for the files that wire the parts. */
function stage(file: string): number | null {
  const folder = file.split('/')[2] ?? '';
  return journey.includes(folder) ? journey.indexOf(folder) : null;
}

/** What is wrong with an import inside broker/src, or null. */
function upwardImport(from: string, to: string): string | null {
  const [fromStage, toStage] = [stage(from), stage(to)];
  const isLeaf = (file: string): boolean => leaves.some((leaf) => file === `broker/src/${leaf}`);
  if (isLeaf(from) && !isLeaf(to)) return `${from} is for everybody and may not import ${to}`;
  if (fromStage === null) return null;
  if (toStage === null) return isLeaf(to) ? null : `${from} may not import ${to}, which puts the parts together`;
  return toStage < fromStage ? `${from} imports ${to}, which comes before it in the journey` : null;
}

const workspaces = Object.keys(mayImport);

describe('imports', () => {
  it('knows every workspace', () => {
    const listed: string[] = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).workspaces;
    expect(workspaces.toSorted()).toEqual(listed.toSorted());
  });

  it.each(workspaces)('of %s lead only to workspaces below it', (workspace) => {
    const wrong = importsIn(workspace).filter(({ specifier }) => {
      const other = /^@fanfare\/([\w-]+)/.exec(specifier)?.[1];
      return other !== undefined && !mayImport[workspace]?.includes(other);
    });
    expect(wrong).toEqual([]);
  });

  it.each(workspaces)('of %s never leave it by a relative path', (workspace) => {
    const wrong = importsIn(workspace).filter((each) => !(target(each) ?? workspace).startsWith(workspace));
    expect(wrong).toEqual([]);
  });

  it.each(workspaces)('of %s have no loop', (workspace) => {
    const edges = new Map(sourcesOf(workspace).map((file): [string, string[]] => [file, []]));
    for (const each of importsIn(workspace)) {
      const to = target(each);
      if (to !== null) edges.get(each.from)?.push(to);
    }
    expect(findLoop(edges)).toBeNull();
  });

  it('inside the broker follow the journey of a message', () => {
    const wrong = importsIn('broker').flatMap((each) => {
      const to = target(each);
      return to === null ? [] : (upwardImport(each.from, to) ?? []);
    });
    expect(wrong).toEqual([]);
  });

  it.each(Object.entries(onlyIn))('of %s stand only where they may', (library, files) => {
    const users = importsIn('broker').filter(({ specifier }) => specifier === library);
    expect(new Set(users.map(({ from }) => from))).toEqual(new Set(files.map((file) => `broker/src/${file}`)));
  });
});

describe('this test', () => {
  it('sees every form of import, and none in comments', () => {
    const text = `import a from './a.js';
      import type { B } from './b.js';
      import { type C,
        d } from "./c.js";
      export * from './e.js'; export type { F } from './f.js';
      const g = await import('./g.js'); import './h.js';
      // import x from './x.js'
      /* import y from './y.js' */`;
    expect(importsOf(text)).toEqual(['./a.js', './b.js', './c.js', './e.js', './f.js', './g.js', './h.js']);
  });

  it('finds a loop, also a long one', () => {
    expect(
      findLoop(
        new Map([
          ['a', ['b']],
          ['b', ['c']],
          ['c', ['b']],
        ]),
      ),
    ).toEqual(['b', 'c', 'b']);
    expect(
      findLoop(
        new Map([
          ['a', ['b', 'c']],
          ['b', ['c']],
          ['c', []],
        ]),
      ),
    ).toBeNull();
  });

  it('finds an upward import', () => {
    expect(upwardImport('broker/src/topics/fanout.ts', 'broker/src/relay/relay.ts')).not.toBeNull();
    expect(upwardImport('broker/src/relay/relay.ts', 'broker/src/broker.ts')).not.toBeNull();
    expect(upwardImport('broker/src/redis.ts', 'broker/src/relay/keys.ts')).not.toBeNull();
    expect(upwardImport('broker/src/connection/connection.ts', 'broker/src/topics/registry.ts')).toBeNull();
    expect(upwardImport('broker/src/relay/redis-relay.ts', 'broker/src/redis.ts')).toBeNull();
  });
});
