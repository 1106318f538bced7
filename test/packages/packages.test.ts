/**
 * The tarballs of the published packages, made in a clean clone. `npm run test:packages` also installs them with
 * several package managers and uses them with many tools.
 */

import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { isBuiltin } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { type NodeOptions, type NodeProcess, startNode, startRedis } from '@fanfare/local-cluster';
import { build } from 'esbuild';
import { publint } from 'publint';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasBrowser, launchBrowser } from '../chromium.js';
import {
  cloneRepository,
  type Manifest,
  publishedFolders,
  readManifest,
  root,
  run,
  tarballsOf,
  temporaryFolder,
  unpackInto,
} from './tarballs.js';
import { typedApp } from './typed-app.js';

const folders = await publishedFolders();
const names = await Promise.all(folders.map(async (folder) => (await readManifest(join(root, folder))).name));
const { repository } = (await readManifest(root)) as unknown as { readonly repository: string };

const temporary: AsyncDisposable[] = [];
let clone: string;
let tarballs: ReadonlyMap<string, string>;
/** An app with all packages. */
let app: string;

const tarballOf = (name: string): string => tarballs.get(name) as string;
const packageFolder = (name: string): string => join(app, 'node_modules', name);

beforeAll(async () => {
  const [first, second] = [await temporaryFolder(), await temporaryFolder()];
  temporary.push(first, second);
  clone = first.path;
  app = second.path;
  await cloneRepository(clone);
  await run(clone, ['npm', 'run', 'packages']);
  tarballs = await tarballsOf(clone);
  for (const tarball of tarballs.values()) await unpackInto(app, tarball);
  // It builds everything, next to other tests.
}, 600_000);
afterAll(async () => {
  for (const folder of temporary) await folder[Symbol.asyncDispose]();
});

/** Whether the package is a command: nothing can be imported from it. */
const isCommand = (name: string): boolean => name === '@fanfare/cli';

/** The paths of all files in a folder. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

it('npm run packages makes one tarball for each published package', async () => {
  const made = await readdir(join(clone, 'packages'));
  expect(made.map((file) => join(clone, 'packages', file)).toSorted()).toEqual([...tarballs.values()].toSorted());
});

it('npm pack leaves the workspaces as they were', async () => {
  for (const folder of folders) {
    expect(await readManifest(join(clone, folder))).toEqual(await readManifest(join(root, folder)));
    expect(existsSync(join(clone, folder, 'LICENSE'))).toBe(false);
    expect(existsSync(join(clone, folder, '.pack'))).toBe(false);
  }
});

it('npm pack after an interrupted npm pack makes the same package', async () => {
  const folder = join(clone, 'protocol');
  const tool = join(clone, 'tools/pack/dist/main.js');
  await run(folder, [process.execPath, tool, 'prepack']);
  expect(await readManifest(folder)).toEqual(await readManifest(packageFolder('@fanfare/protocol')));
  await using destination = await temporaryFolder();
  await run(folder, ['npm', 'pack', '--pack-destination', destination.path]);
  const [tarball = ''] = await readdir(destination.path);
  await using other = await temporaryFolder();
  const again = await unpackInto(other.path, join(destination.path, tarball));
  for (const file of await filesIn(again)) {
    const path = join(packageFolder('@fanfare/protocol'), file);
    expect(readFileSync(join(again, file), 'utf8')).toBe(readFileSync(path, 'utf8'));
  }
  expect(await readManifest(folder)).toEqual(await readManifest(join(root, 'protocol')));
});

it('npm refuses to publish a workspace: only its tarball has the published package.json', async () => {
  for (const folder of folders) expect(await readManifest(join(root, folder))).toMatchObject({ private: true });
});

describe.each(names.map((name, index) => [name, folders[index] as string] as const))('%s', (name, folder) => {
  it('has the files that users need, and no others', async () => {
    const needed = [
      /^(?:package\.json|README\.md|LICENSE)$/,
      /^lib\/[\w-]+\.(?:js|cjs|d\.ts|d\.cts)$/,
      /^lib\/[\w-]+\.LICENSE$/,
      /^lib\/fanfare[\w-]*(?:\.module)?\.min\.js$/,
      ...(name === '@fanfare/broker' ? [/^lua\/[\w/-]+\.lua$/, /^dist\/node\/console\/page\/main\.js$/] : []),
    ];
    const files = await filesIn(packageFolder(name));
    expect(files.filter((file) => !needed.some((pattern) => pattern.test(file)))).toEqual([]);
    const entry = isCommand(name) ? 'lib/main.js' : 'lib/index.js';
    expect(files).toEqual(expect.arrayContaining(['package.json', 'README.md', 'LICENSE', entry]));
    if (name !== '@fanfare/broker') return;
    const scripts = (await filesIn(join(root, 'broker/lua'))).map((file) => `lua/${file}`);
    expect(files.filter((file) => file.startsWith('lua/')).toSorted()).toEqual(scripts.toSorted());
  });

  it('says where it comes from, and has no condition or dependency of this repository', async () => {
    const manifest = await readManifest(packageFolder(name));
    const { version } = await readManifest(join(root, folder));
    expect(manifest).toMatchObject({
      version,
      license: 'MIT',
      repository: { type: 'git', url: `git+${repository}.git`, directory: folder },
      bugs: `${repository}/issues`,
      homepage: expect.stringContaining(repository),
      publishConfig: { access: 'public' },
    });
    const fields = ['private', 'devDependencies'];
    expect(fields.filter((field) => manifest[field] !== undefined)).toEqual([]);
    const text = JSON.stringify([manifest.exports, manifest['imports']]);
    expect(text).not.toMatch(/"source"|"fuzz"|internal|src\/|dist\//);
    expect(Object.keys(manifest.dependencies ?? {}).filter((dependency) => dependency.startsWith('@fanfare/'))).toEqual(
      [],
    );
    expect(readFileSync(join(packageFolder(name), 'LICENSE'), 'utf8')).toBe(
      readFileSync(join(root, 'LICENSE'), 'utf8'),
    );
  });

  it('imports only packages that it depends on', async () => {
    const { dependencies = {}, peerDependencies = {} } = await readManifest(packageFolder(name));
    const known = Object.keys({ ...dependencies, ...peerDependencies });
    const files = (await filesIn(packageFolder(name))).filter((file) => /\.(?:c?js|d\.c?ts)$/.test(file));
    const imported = files.flatMap((file) => {
      const text = readFileSync(join(packageFolder(name), file), 'utf8');
      const found = text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\(\s*)["']([^"'\s]+)["']/g);
      return [...found].map(([, specifier = '']) => specifier);
    });
    const unknown = imported.filter(
      (specifier) =>
        !/^(?:\.|#)/.test(specifier) &&
        !isBuiltin(specifier) &&
        !known.some((dependency) => specifier === dependency || specifier.startsWith(`${dependency}/`)),
    );
    expect([...new Set(unknown)]).toEqual([]);
  });

  it('has a README whose links work outside the repository', async () => {
    const text = readFileSync(join(packageFolder(name), 'README.md'), 'utf8').replace(/^```[\s\S]*?^```/gm, '');
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
    expect(links).not.toEqual([]);
    const own = `${repository}/blob/main/`;
    const broken = links.filter((link) =>
      link.startsWith(own)
        ? !existsSync(join(root, link.slice(own.length).replace(/#.*/, '')))
        : !/^(?:https?:\/\/|#)/.test(link),
    );
    expect(broken).toEqual([]);
  });

  it('is clean for publint, in strict mode', async () => {
    const tarball = await readFile(tarballOf(name));
    const { messages } = await publint({ pack: { tarball: new Uint8Array(tarball).buffer }, strict: true });
    expect(messages).toEqual([]);
  });

  it('has declarations that say which library of TypeScript they need', async () => {
    const declarations = (await filesIn(packageFolder(name))).filter((file) => /\.d\.c?ts$/.test(file));
    for (const file of declarations) {
      const text = await readFile(join(packageFolder(name), file), 'utf8');
      const needs = /[aA]syncDispos/.test(text);
      expect([file, needs && !text.startsWith('/// <reference lib="esnext.disposable"')]).toEqual([file, false]);
    }
  });

  it.skipIf(isCommand(name))('has the right types for ES modules, CommonJS and bundlers', async () => {
    const checked = await checkPackage(createPackageFromTarballData(new Uint8Array(await readFile(tarballOf(name)))));
    expect(checked).toMatchObject({ packageName: name, problems: [] });
  });
});

describe('a node from the tarball', () => {
  /** The command `fanfare` of its package. */
  const fanfare = (): string => {
    const folder = packageFolder('@fanfare/cli');
    const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
    return join(folder, bin?.['fanfare'] ?? '');
  };
  const start = (options: NodeOptions = {}): Promise<NodeProcess> =>
    startNode({ program: fanfare(), args: ['node'], ...options });

  /** Receives a message through the client from the tarball, in a process of its own. */
  async function deliver(node: NodeProcess, file: string, head: string): Promise<string> {
    const code = `${head}
      const client = createClient(${JSON.stringify(node.url)});
      const { ready } = client.subscribe('news', ({ data }) => {
        console.log(data.title);
        void client.drain();
      });
      ready.then(() => client.publish('news', { title: 'hello' }));`;
    await writeFile(join(app, file), code);
    return (await run(app, [process.execPath, file])).stdout;
  }

  it('delivers messages to clients that are ES modules or CommonJS', async () => {
    await using node = await start();
    for (const entry of ['@fanfare/client', '@fanfare/client/json', '@fanfare/client/fallback']) {
      const esModule = await deliver(node, 'app.mjs', `import { createClient } from '${entry}';`);
      const commonJs = await deliver(node, 'app.cjs', `const { createClient } = require('${entry}');`);
      expect([esModule, commonJs]).toEqual(['hello\n', 'hello\n']);
    }
  });

  it('runs workers and scripts in Redis, and has its console', async () => {
    await using redis = await startRedis();
    await using node = await start({ redisUrl: redis.url, env: { FANFARE_WORKERS: '2' } });
    expect(await deliver(node, 'app.mjs', `import { createClient } from '@fanfare/client';`)).toBe('hello\n');
    const page = await (await fetch(node.adminUrl)).text();
    expect(page).toContain('<script type="module">');
    const metrics = await (await fetch(`${node.adminUrl}/metrics`)).text();
    const { version } = await readManifest(packageFolder('@fanfare/broker'));
    expect(metrics).toContain(`version="${version}"`);
  });

  it('is published to, read, examined and loaded by the command', async () => {
    await using node = await start();
    const env = { FANFARE_URL: node.url };
    const fanfareOf = async (...args: string[]): Promise<string> =>
      (await run(app, [process.execPath, fanfare(), ...args], env)).stdout;
    expect(await fanfareOf('publish', 'news', '{"title":"hello"}')).toMatch(/^\d+-1\n$/);
    expect(await fanfareOf('subscribe', 'news', '--last', '1', '-n', '1')).toBe('{"title":"hello"}\n');
    expect(await fanfareOf('doctor', '--topic', 'news')).toContain('All is well.');
    const { version } = await readManifest(packageFolder('@fanfare/cli'));
    expect(await fanfareOf('--version')).toBe(`${version}\n`);
    expect(
      await fanfareOf(
        'token',
        'create',
        '--issuer',
        'a',
        '--subject',
        'b',
        '--secret',
        'x'.repeat(32),
        '--publish',
        '>',
      ),
    ).toMatch(/^\S+\.\S+\.\S+\n$/);
    expect(await fanfareOf('api-key', 'orders')).toContain('fk_orders_');
    const load = await fanfareOf(
      'bench',
      'fan-out',
      '--subscribers',
      '1',
      '--rate',
      '5',
      '--seconds',
      '1',
      '--json',
      '-',
    ).catch(({ message }: Error) => message);
    expect(load).toContain('"command": "fanfare bench fan-out');
    // It starts no servers.
    await expect(fanfareOf('bench', 'fan-out', '--seconds', '1', '--servers', 'fanfare')).rejects.toThrow(
      /omit it with --url/,
    );
  });

  it('needs its own package: the command says so, and the others work without it', async () => {
    await using alone = await temporaryFolder();
    const folder = await unpackInto(alone.path, tarballOf('@fanfare/cli'));
    const command = [process.execPath, join(folder, 'lib/main.js')];
    await expect(run(alone.path, [...command, 'node'])).rejects.toThrow(
      'fanfare: This command needs the package @fanfare/broker, which is not installed. Install it next to @fanfare/cli.',
    );
    expect((await run(alone.path, [...command, '--help'])).stdout).toContain('Usage: fanfare');
  });

  it('starts in another program, as an ES module or CommonJS', async () => {
    const use = `
      const config = loadConfig({ FANFARE_PORT: '0', FANFARE_ADMIN_PORT: '0' });
      startBroker(config, createLog(config)).then((broker) => broker.drain({ atOnce: true })).then(() => console.error('drained'));`;
    await writeFile(
      join(app, 'own.mjs'),
      `import { createLog, loadConfig, startBroker } from '@fanfare/broker';${use}`,
    );
    await writeFile(
      join(app, 'own.cjs'),
      `const { createLog, loadConfig, startBroker } = require('@fanfare/broker');${use}`,
    );
    for (const file of ['own.mjs', 'own.cjs'])
      expect((await run(app, [process.execPath, file])).stderr).toBe('drained\n');
  });

  it.skipIf(!hasBrowser)('delivers to a page without a bundler', async () => {
    await using node = await start();
    const lib = join(packageFolder('@fanfare/client'), 'lib');
    const use = (createClient: string): string => `
      const client = ${createClient}(${JSON.stringify(node.url)});
      client.subscribe('news', ({ data }) => { document.title = data; }).ready.then(() => client.publish('news', 'hello'));`;
    const pages: Readonly<Record<string, string>> = Object.fromEntries(
      ['fanfare', 'fanfare-json', 'fanfare-fallback'].flatMap((file) => [
        [`/${file}`, `<script src="/${file}.min.js"></script><script>${use('Fanfare.createClient')}</script>`],
        [
          `/${file}.module`,
          `<script type="module">import { createClient } from '/${file}.module.min.js';${use('createClient')}</script>`,
        ],
      ]),
    );
    await using site = await serve(lib, pages);
    await using browser = await launchBrowser();
    const page = await browser.newPage();
    for (const path of Object.keys(pages)) {
      await page.goto(site.url + path);
      await expect.poll(() => page.title(), { message: path }).toBe('hello');
    }
  });

  it.each(['esm', 'cjs'] as const)('delivers to a program that esbuild made one file of: %s', async (format) => {
    await using node = await start();
    const file = `bundled.${format === 'esm' ? 'mjs' : 'cjs'}`;
    const entry = join(app, 'entry.js');
    await writeFile(entry, `export { createClient } from '@fanfare/client';`);
    await build({ entryPoints: [entry], bundle: true, platform: 'node', format, outfile: join(app, `client-${file}`) });
    const from = `./client-${file}`;
    const head =
      format === 'esm' ? `import { createClient } from '${from}';` : `const { createClient } = require('${from}');`;
    expect(await deliver(node, file, head)).toBe('hello\n');
  });

  it('delivers to a React page that Vite built, with one copy of the client', async () => {
    await using node = await start();
    const site = join(app, 'site');
    await mkdir(site);
    for (const name of ['react', 'react-dom']) {
      await symlink(join(root, 'node_modules', name), join(app, 'node_modules', name));
    }
    await writeFile(join(site, 'index.html'), '<main></main><script type="module" src="/page.jsx"></script>');
    await writeFile(
      join(site, 'page.jsx'),
      `import { createClient } from '@fanfare/client';
      import { createHooks } from '@fanfare/react';
      import { useEffect } from 'react';
      import { createRoot } from 'react-dom/client';
      const { FanfareProvider, useTopic } = createHooks();
      const client = createClient(${JSON.stringify(node.url)});
      function News() {
        const { data, status } = useTopic('news');
        useEffect(() => { if (status === 'subscribed') client.publish('news', 'hello'); }, [status]);
        return <p>{data}</p>;
      }
      createRoot(document.querySelector('main')).render(<FanfareProvider client={client}><News /></FanfareProvider>);`,
    );
    // The Vite that Vitest brings. `npm run test:frameworks` installs the current one, and Next.
    await run(site, [process.execPath, join(root, 'node_modules/vite/bin/vite.js'), 'build']);
    const assets = join(site, 'dist/assets');
    const built = await Promise.all((await readdir(assets)).map((file) => readFile(join(assets, file), 'utf8')));
    // The client reads it in one place.
    expect(built.join('').match(/\bglobalThis\.WebSocket\b/g)).toHaveLength(1);
    if (!hasBrowser) return;
    await using server = await serve(join(site, 'dist'), {
      '/': await readFile(join(site, 'dist/index.html'), 'utf8'),
    });
    await using browser = await launchBrowser();
    const page = await browser.newPage();
    await page.goto(server.url);
    await expect.poll(() => page.locator('p').innerText()).toBe('hello');
  });

  it('gives bundlers for pages no code for Node', async () => {
    const entry = join(app, 'page.js');
    await writeFile(entry, `export { createClient } from '@fanfare/client';`);
    const { outputFiles } = await build({ entryPoints: [entry], bundle: true, platform: 'browser', write: false });
    expect(outputFiles[0]?.text).not.toMatch(/["']node:|\brequire\(|\bnew Function\b|\beval\(/);
  });
});

/** A web server with these pages and the files of a folder. */
async function serve(folder: string, pages: Readonly<Record<string, string>>) {
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    const page = pages[path];
    response.setHeader('Content-Type', page === undefined ? 'text/javascript' : 'text/html; charset=utf-8');
    const file = join(folder, path);
    if (page !== undefined) response.end(`<!doctype html><title>Page</title>${page}`);
    else if (existsSync(file)) response.end(readFileSync(file));
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

it.each([
  ['5.4', '@tsd/typescript/typescript/lib/tsc.js'],
  ['present', 'typescript/bin/tsc'],
])('the types of the client compile with TypeScript %s, as ES module and CommonJS', async (_version, compiler) => {
  const compilerOptions = {
    ...{ strict: true, noEmit: true, skipDefaultLibCheck: true, types: [], target: 'es2022', lib: ['es2022', 'dom'] },
    module: 'nodenext',
  };
  await writeFile(join(app, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['use.mts', 'use.cts'] }));
  for (const file of ['use.mts', 'use.cts']) await writeFile(join(app, file), typedApp);
  await run(app, [process.execPath, join(root, 'node_modules', compiler), '-p', '.']);
});

it('the client installs alone, without a registry', async () => {
  await using project = await temporaryFolder();
  await writeFile(join(project.path, 'package.json'), '{}');
  await run(project.path, ['npm', 'install', '--offline', '--no-audit', '--no-fund', tarballOf('@fanfare/client')]);
  const { stdout } = await run(project.path, [process.execPath, '--print', `typeof require('@fanfare/client')`]);
  expect(stdout).toBe('object\n');
});

it('the pages name tarballs that exist', async () => {
  const { stdout } = await run(root, ['git', 'ls-files', '*.md']);
  const pages = stdout
    .trim()
    .split('\n')
    .filter((page) => existsSync(join(root, page)));
  const named = pages.flatMap((page) => [...readFileSync(join(root, page), 'utf8').matchAll(/[\w./-]+\.tgz/g)]);
  const made = await readdir(join(clone, 'packages'));
  expect(named).not.toEqual([]);
  expect(named.map(([path]) => path.replace(/^.*\//, '')).filter((file) => !made.includes(file))).toEqual([]);
});
