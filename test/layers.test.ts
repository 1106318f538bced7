/**
 * Imports go one way: between workspaces, between the folders of a workspace, and nowhere in a loop. Type-only imports
 * count.
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
  react: ['client'],
  'tools/local-cluster': [],
  'tools/pack': [],
  'tools/kit': ['protocol'],
  loadtest: ['protocol', 'client', 'tools/kit', 'tools/local-cluster'],
  'tools/verify': ['protocol', 'client', 'tools/kit', 'tools/local-cluster'],
  'tools/abuse': ['client', 'tools/kit', 'tools/local-cluster'],
  'tools/fuzz': ['protocol', 'broker', 'client', 'tools/kit'],
  cli: ['protocol', 'client', 'broker', 'tools/kit', 'loadtest'],
  examples: ['client', 'tools/local-cluster'],
};

/**
 * What is in the `src` of each workspace, in order: a folder or file imports only from itself and from those after it.
 * A workspace without folders is not listed.
 */
const order: Readonly<Record<string, readonly string[]>> = {
  broker: [
    ...['main.ts', 'command.ts', 'index.ts', 'testing.ts'],
    // `fanfare shards`, which changes where the nodes keep topics.
    ...['shards'],
    // A node put together: settings, then the journey of a message, from the connection to the topics.
    ...['node', 'settings', 'api', 'streams', 'http', 'connection', 'session', 'handlers', 'auth', 'limits', 'relay'],
    ...['topics'],
    // Used by all of them.
    ...['redis', 'observe', 'files'],
  ],
  client: [
    ...['fallback.ts', 'index.ts', 'json.ts', 'msgpackr.ts', 'fallback', 'msgpackr-data.ts', 'msgpackr-no-eval.d.ts'],
    ...['msgpack-data.ts', 'msgpack-writer.ts', 'msgpack-reader.ts', 'websocket-node.ts'],
    // The client, and its parts.
    ...['api.ts', 'client.ts', 'feeds.ts', 'feed.ts', 'catch-up.ts', 'delivery.ts', 'histories.ts', 'cursor.ts'],
    ...['publisher.ts', 'publish-queue.ts', 'levels.ts', 'reads.ts', 'reconnector.ts', 'handover.ts', 'address.ts'],
    ...['schemas.ts', 'slots.ts', 'subscription.ts', 'condition.ts', 'emitter.ts', 'queue.ts', 'topic-queues.ts'],
    ...['posting.ts', 'requests.ts', 'pacer.ts', 'topics.ts', 'data-types.ts', 'position.ts'],
    // Used by many of them.
    ...['connection.ts', 'command-ids.ts', 'debug-log.ts', 'explain.ts', 'frames.ts', 'message-id.ts', 'state.ts'],
    ...['token.ts', 'options.ts', 'errors.ts', 'reconnect.ts', 'standard-schema.ts', 'websocket.ts'],
  ],
  loadtest: [
    ...[
      'page',
      'main.ts',
      'command.ts',
      'levels',
      'costs',
      'compare',
      'command-line',
      'runs',
      'report',
      'servers',
      'launch',
    ],
    ...['scenarios', 'load', 'protocols'],
  ],
  cli: [
    ...[
      'main.ts',
      'bench.ts',
      'program.ts',
      'commands',
      'node.ts',
      'doctor',
      'topic-info.ts',
      'broker.ts',
      'command.ts',
    ],
    ...['token-report.ts', 'input.ts', 'output.ts', 'missing-package.ts', 'failure.ts', 'version.ts'],
  ],
  'tools/verify': [
    ...[
      'main.ts',
      'command-line.ts',
      'rollout',
      'existing-cluster',
      'fault-run',
      'faults',
      'swarm',
      'cluster',
      'checker',
    ],
  ],
  'tools/abuse': [
    ...['main.ts', 'report.ts', 'command-line.ts', 'attack-run.ts', 'control-clients.ts', 'attacker-main.ts'],
    ...['attacker-process.ts', 'target.ts', 'attacks', 'attack.ts', 'attackers.ts', 'hook.ts', 'peer.ts'],
    ...['outcome.ts', 'keys.ts'],
  ],
  'tools/fuzz': [
    ...[
      'main.ts',
      'watchdog.ts',
      'targets',
      'fuzzer.ts',
      'shrink.ts',
      'mutate.ts',
      'random.ts',
      'limits.ts',
      'target.ts',
      'coverage.ts',
      'corpus.ts',
      'command-line.ts',
    ],
  ],
};
/** The libraries that only these files of broker/src may import. */
const onlyIn: Readonly<Record<string, readonly string[]>> = {
  'uWebSockets.js': ['connection/http', 'connection/listeners', 'connection/server', 'http/exchange', 'http/route'].map(
    (name) => `${name}.ts`,
  ),
  ioredis: ['direct-connector', 'redis-link', 'redis-options', 'sentinel-watch'].map((name) => `redis/${name}.ts`),
  '@opentelemetry/sdk-trace': ['node/tracing.ts'],
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

/** The folder of `src` that a file is in, or the file itself if it is in none; null if the workspace has no folders. */
function partOf(file: string): { workspace: string; part: string } | null {
  const [workspace, path] = file.split('/src/');
  if (workspace === undefined || path === undefined || order[workspace] === undefined) return null;
  return { workspace, part: path.split('/')[0] ?? '' };
}

/** What is wrong with an import inside a workspace, or null. */
function upwardImport(from: string, to: string): string | null {
  const [source, goal] = [partOf(from), partOf(to)];
  if (source === null || goal === null || source.workspace !== goal.workspace) return null;
  const parts = order[source.workspace] ?? [];
  const unknown = [source, goal].find(({ part }) => !parts.includes(part));
  if (unknown !== undefined) return `${unknown.part} has no place in the order of ${unknown.workspace}/src`;
  return parts.indexOf(goal.part) < parts.indexOf(source.part) ? `${from} imports ${to}, which is above it` : null;
}

const workspaces = Object.keys(mayImport);

describe('imports', () => {
  it('have a rule for every workspace', () => {
    const listed: string[] = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).workspaces;
    expect(workspaces.toSorted()).toEqual(listed.toSorted());
  });

  it.each(workspaces)('of %s lead only to workspaces below it', (workspace) => {
    const wrong = importsIn(workspace).filter(({ specifier }) => {
      const other = /^@fanfare\/([\w-]+)/.exec(specifier)?.[1];
      return other !== undefined && !mayImport[workspace]?.some((name) => name.replace('tools/', '') === other);
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

  it('follow an order that lists exactly the existing folders', () => {
    const folders = workspaces.flatMap((workspace) => {
      const parts = new Set(
        sourcesOf(workspace).map((file) => file.slice(`${workspace}/src/`.length).split('/')[0] ?? ''),
      );
      const hasFolders = [...parts].some((part) => !part.endsWith('.ts'));
      return hasFolders ? [[workspace, [...parts].toSorted()]] : [];
    });
    expect(Object.fromEntries(folders)).toEqual(
      Object.fromEntries(Object.entries(order).map(([workspace, parts]) => [workspace, parts.toSorted()])),
    );
  });

  it.each(Object.keys(order))('inside %s lead only downwards', (workspace) => {
    const wrong = importsIn(workspace).flatMap((each) => {
      const to = target(each);
      return to === null ? [] : (upwardImport(each.from, to) ?? []);
    });
    expect(wrong).toEqual([]);
  });

  it.each(Object.entries(onlyIn))('of %s are only in the files that may have them', (library, files) => {
    const users = importsIn('broker').filter(({ specifier }) => specifier === library);
    expect(new Set(users.map(({ from }) => from))).toEqual(new Set(files.map((file) => `broker/src/${file}`)));
  });
});

describe('this test', () => {
  it('finds every form of import, and ignores comments', () => {
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

  it('finds short and long loops', () => {
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
    expect(upwardImport('broker/src/relay/relay.ts', 'broker/src/node/broker.ts')).not.toBeNull();
    expect(upwardImport('broker/src/redis/redis.ts', 'broker/src/relay/keys.ts')).not.toBeNull();
    expect(upwardImport('broker/src/relay/relay.ts', 'broker/src/nowhere/else.ts')).not.toBeNull();
    expect(upwardImport('broker/src/connection/connection.ts', 'broker/src/topics/registry.ts')).toBeNull();
    expect(upwardImport('broker/src/relay/redis-relay.ts', 'broker/src/redis/redis.ts')).toBeNull();
  });
});
