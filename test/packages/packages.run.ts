/**
 * The tarballs of the published packages, as people install and use them: with npm, pnpm and yarn, with old and new
 * versions of TypeScript, with Jest, and with Vite. Everything is installed from the registry, which takes minutes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  cleanEnvironment,
  cloneRepository,
  publishedFolders,
  readManifest,
  root,
  run,
  tarballsOf,
  temporaryFolder,
} from './tarballs.js';
import { typedApp } from './typed-app.js';

const versions = {
  pnpm: '12.21.0',
  yarn: '4.18.1',
  jest: '30.5.2',
  jsdom: '30.5.2',
  react: '19.3.1',
  vite: '8.4.0',
  typescript: ['5.2.2', '5.9.3', '6.0.3', '7.0.2'],
} as const;

const folders = await publishedFolders();
const names = await Promise.all(folders.map(async (folder) => (await readManifest(join(root, folder))).name));

const temporary: AsyncDisposable[] = [];
async function newFolder(): Promise<string> {
  const folder = await temporaryFolder();
  temporary.push(folder);
  return folder.path;
}

/** A folder with a clone in `fanfare`, as in docs/start.md. */
let work: string;
let tarballs: ReadonlyMap<string, string>;
/** The package managers. */
let tools: string;
/** Yarn does not read npm's settings. */
let registry: string;
const tarballOf = (name: string): string => tarballs.get(name) as string;

beforeAll(async () => {
  work = await newFolder();
  const clone = join(work, 'fanfare');
  await cloneRepository(clone);
  await run(clone, ['npm', 'run', 'packages']);
  tarballs = await tarballsOf(clone);
  tools = await newFolder();
  await writeFile(join(tools, 'package.json'), '{}');
  await npmInstall(tools, `pnpm@${versions.pnpm}`, `@yarnpkg/cli-dist@${versions.yarn}`);
  registry = (await run(root, ['npm', 'config', 'get', 'registry'])).stdout.trim();
});
afterAll(async () => {
  for (const folder of temporary) await folder[Symbol.asyncDispose]();
});

const npmInstall = (folder: string, ...packages: string[]) =>
  run(folder, ['npm', 'install', '--no-audit', '--no-fund', '--save-exact', ...packages]);

/** With the package managers, and with empty caches, so that an earlier run does not hide a missing package. */
function environment(cache: string): NodeJS.ProcessEnv {
  return {
    PATH: `${join(tools, 'node_modules/.bin')}${delimiter}${process.env['PATH']}`,
    YARN_NPM_REGISTRY_SERVER: registry,
    YARN_UNSAFE_HTTP_WHITELIST: new URL(registry).hostname,
    YARN_GLOBAL_FOLDER: join(cache, 'yarn'),
    YARN_ENABLE_TELEMETRY: '0',
    YARN_ENABLE_IMMUTABLE_INSTALLS: '0',
    npm_config_registry: registry,
    npm_config_store_dir: join(cache, 'pnpm'),
  };
}

interface PackageManager {
  readonly files: Readonly<Record<string, string>>;
  readonly add: readonly string[];
  readonly node: readonly string[];
  readonly fanfare: readonly string[];
}

const managers: Readonly<Record<string, PackageManager>> = {
  npm: { files: {}, add: ['npm', 'install', '--no-audit'], node: ['node'], fanfare: ['npx', 'fanfare'] },
  pnpm: { files: {}, add: ['pnpm', 'add'], node: ['node'], fanfare: ['pnpm', 'exec', 'fanfare'] },
  'yarn with node_modules': {
    files: { '.yarnrc.yml': 'nodeLinker: node-modules\n', 'yarn.lock': '' },
    add: ['yarn', 'add'],
    node: ['yarn', 'node'],
    fanfare: ['yarn', 'fanfare'],
  },
  'yarn with Plug’n’Play': {
    files: { '.yarnrc.yml': 'nodeLinker: pnp\n', 'yarn.lock': '' },
    add: ['yarn', 'add'],
    node: ['yarn', 'node'],
    fanfare: ['yarn', 'fanfare'],
  },
};

/** A project with these packages of ours, and these of the registry. */
async function install(
  manager: PackageManager,
  ours: readonly string[],
  env: NodeJS.ProcessEnv,
  others: readonly string[] = [],
): Promise<string> {
  const project = await newFolder();
  for (const [file, text] of Object.entries({ 'package.json': '{"name":"app","version":"0.0.0"}', ...manager.files }))
    await writeFile(join(project, file), text);
  const [command = '', ...args] = manager.add;
  // Yarn wants a name: a tarball alone would be ambiguous.
  const specifiers = ours.map((name) => (command === 'yarn' ? `${name}@${tarballOf(name)}` : tarballOf(name)));
  await run(project, [command, ...args, ...specifiers, ...others], env);
  return project;
}

/** Expects that a package of a project has the same exports as an ES module and as CommonJS, and at least one. */
async function expectExports(
  manager: PackageManager,
  project: string,
  name: string,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  await writeFile(join(project, 'use.mjs'), `import * as all from '${name}'; console.log(Object.keys(all).length);`);
  await writeFile(join(project, 'use.cjs'), `console.log(Object.keys(require('${name}')).length);`);
  const outputs: string[] = [];
  for (const file of ['use.mjs', 'use.cjs']) outputs.push((await run(project, [...manager.node, file], env)).stdout);
  expect(Number(outputs[0])).toBeGreaterThan(0);
  expect(outputs[1]).toBe(outputs[0]);
}

interface Started extends AsyncDisposable {
  readonly url: string;
}

/**
 * Starts a node and waits until it listens. The end signals the whole process group, as Ctrl+C does: a package manager
 * between this process and the node may not pass a signal on.
 */
async function startWith(command: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): Promise<Started> {
  const [file = '', ...args] = command;
  const child = spawn(file, args, {
    cwd,
    env: { ...cleanEnvironment(), ...env, FANFARE_PORT: '0', FANFARE_ADMIN_PORT: '0' },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close');
  let errors = '';
  child.stderr.on('data', (data) => {
    errors += data;
  });
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{') || !line.includes('"listening"')) continue;
    child.stdout.resume();
    const { port } = JSON.parse(line) as { readonly port: number };
    return {
      url: `ws://127.0.0.1:${port}/ws`,
      async [Symbol.asyncDispose]() {
        process.kill(-(child.pid as number), 'SIGINT');
        await closed;
      },
    };
  }
  throw new Error(`${command.join(' ')} started no node.\n${errors}`);
}

const program = (head: string): string => `${head}
const client = createClient(process.argv[2]);
const { ready } = client.subscribe('news', ({ data }) => console.log(data.title));
ready.then(() => client.publish('news', { title: 'hello' })).then(() => client.drain());
`;

async function writePrograms(project: string): Promise<void> {
  await writeFile(join(project, 'app.mjs'), program(`import { createClient } from '@fanfare/client';`));
  await writeFile(join(project, 'app.cjs'), program(`const { createClient } = require('@fanfare/client/json');`));
}

describe.each(Object.entries(managers))('%s', (name, manager) => {
  let env: NodeJS.ProcessEnv;
  beforeAll(async () => {
    env = environment(await newFolder());
  });

  it.each(names)('installs %s alone', async (packageName) => {
    const project = await install(manager, [packageName], env);
    // The command of a package that has one; else an import.
    if (packageName === '@fanfare/cli') {
      const { stdout } = await run(project, [...manager.fanfare, '--help'], env);
      expect(stdout).toContain('Usage: fanfare');
      return;
    }
    // The app chooses its React, so nothing can import the hooks here.
    if (packageName !== '@fanfare/react') await expectExports(manager, project, packageName, env);
  });

  it('installs @fanfare/react next to the client and React', async () => {
    const ours = ['@fanfare/client', '@fanfare/react'];
    const project = await install(manager, ours, env, [`react@${versions.react}`]);
    for (const packageName of ours) await expectExports(manager, project, packageName, env);
  });

  it('starts a node that delivers a message', async () => {
    const nodeProject = await install(manager, ['@fanfare/broker', '@fanfare/cli'], env);
    const project = await install(manager, ['@fanfare/client'], env);
    await writePrograms(project);
    await using node = await startWith([...manager.fanfare, 'node'], nodeProject, env);
    for (const file of ['app.mjs', 'app.cjs']) {
      expect([name, (await run(project, [...manager.node, file, node.url], env)).stdout]).toEqual([name, 'hello\n']);
    }
  });
});

it('the command of README.md starts a node in a folder without files', async () => {
  const readme = await readFile(join(root, 'README.md'), 'utf8');
  const command = /^npx --yes(?: --package \S+)+ fanfare node$/m.exec(readme)?.[0] ?? '';
  const tarballs = [...command.matchAll(/\.\/(fanfare\/packages\/\S+)/g)].map(([, path = '']) => join(work, path));
  expect(tarballs).toHaveLength(2);
  const options = tarballs.flatMap((tarball) => ['--package', tarball]);
  const folder = await newFolder();
  await using node = await startWith(['npx', '--yes', ...options, 'fanfare', 'node'], folder);
  expect(node.url).toMatch(/^ws:/);
  expect(await readdir(folder)).toEqual([]);
});

it('the steps of docs/start.md lead to a message', async () => {
  const page = await readFile(join(root, 'docs/start.md'), 'utf8');
  const section = /^## 1\. Install$([\s\S]*?)^## 3\./m.exec(page)?.[1] ?? '';
  const blocks = [...section.matchAll(/^```(\w+)\n([\s\S]*?)^```/gm)].map(([, kind = '', text = '']) => ({
    kind,
    text,
  }));
  const code = blocks.find(({ kind }) => kind === 'js')?.text ?? '';
  const commands = blocks.filter(({ kind }) => kind === 'sh').flatMap(({ text }) => text.trim().split('\n'));
  const started = commands.indexOf('npx fanfare node');
  expect(started).toBeGreaterThan(0);
  let cwd = work;
  const perform = async (command: string): Promise<string> => {
    if (command.startsWith('cd ')) {
      cwd = join(cwd, command.slice(3));
      return '';
    }
    // The clone has its packages; a real `npm ci` would remove the links.
    if (command === 'npm ci') return '';
    return (await run(cwd, ['sh', '-c', command])).stdout;
  };
  for (const command of commands.slice(0, started)) await perform(command);
  await using node = await startWith(['npx', 'fanfare', 'node'], cwd);
  await writeFile(join(cwd, 'hello.js'), code.replace('ws://127.0.0.1:8080/ws', node.url));
  const outputs: string[] = [];
  for (const command of commands.slice(started + 1)) outputs.push(await perform(command));
  expect(outputs.join('')).toBe('1 hello\n1 hello\n2 hello\n');
});

describe('TypeScript', () => {
  const resolutions = {
    nodenext: { module: 'nodenext', moduleResolution: 'nodenext' },
    node16: { module: 'node16', moduleResolution: 'node16' },
    bundler: { module: 'esnext', moduleResolution: 'bundler' },
    node10: { module: 'commonjs', moduleResolution: 'node10' },
  } as const;
  let project: string;

  beforeAll(async () => {
    project = await newFolder();
    await writeFile(join(project, 'package.json'), '{}');
    await npmInstall(
      project,
      tarballOf('@fanfare/client'),
      ...versions.typescript.map((version) => `typescript-${version}@npm:typescript@${version}`),
    );
    await mkdir(join(project, 'esm'));
    await mkdir(join(project, 'cjs'));
    await writeFile(join(project, 'esm/package.json'), '{"type":"module"}');
    for (const folder of ['esm', 'cjs']) await writeFile(join(project, folder, 'use.ts'), typedApp);
  });

  const cases = versions.typescript.flatMap((version) =>
    Object.entries(resolutions)
      // TypeScript 7 has no node10.
      .filter(([name]) => name !== 'node10' || !version.startsWith('7.'))
      .map(([name, options]) => [version, name, options] as const),
  );
  it.each(cases)('%s compiles with %s, without skipLibCheck', async (version, _name, options) => {
    const checks = {
      strict: true,
      skipLibCheck: false,
      skipDefaultLibCheck: true,
      noEmit: true,
      types: [],
      target: 'es2022',
      lib: ['es2022', 'dom'],
    };
    // TypeScript 6 warns that node10 ends.
    const deprecations = version.startsWith('6.') ? { ignoreDeprecations: '6.0' } : {};
    const config = { compilerOptions: { ...checks, ...options, ...deprecations }, files: ['esm/use.ts', 'cjs/use.ts'] };
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify(config));
    await run(project, ['node', `node_modules/typescript-${version}/bin/tsc`, '-p', '.']);
  });
});

it('Jest with its default settings requires the client, in Node and in jsdom', async () => {
  const project = await newFolder();
  await writeFile(join(project, 'package.json'), '{}');
  await npmInstall(
    project,
    tarballOf('@fanfare/client'),
    `jest@${versions.jest}`,
    `jest-environment-jsdom@${versions.jsdom}`,
  );
  const broker = await newFolder();
  await writeFile(join(broker, 'package.json'), '{}');
  await npmInstall(broker, tarballOf('@fanfare/broker'), tarballOf('@fanfare/cli'));
  await using node = await startWith(['npx', 'fanfare', 'node'], broker);
  const test = (entry: string): string => `
    const { createClient } = require('${entry}');
    test('a message arrives', async () => {
      const client = createClient('${node.url}');
      const seen = new Promise((resolve) => client.subscribe('news', ({ data }) => resolve(data)));
      await client.subscribe('news').ready;
      await client.publish('news', 'hello');
      expect(await seen).toBe('hello');
      await client.close();
    });`;
  await writeFile(join(project, 'node.test.js'), test('@fanfare/client'));
  await writeFile(join(project, 'json.test.js'), test('@fanfare/client/json'));
  const inNode = await run(project, ['npx', 'jest']);
  expect(inNode.stderr).toContain('2 passed, 2 total');
  const readme = await readFile(join(root, 'client/README.md'), 'utf8');
  await writeFile(join(project, 'setup.js'), /^```js\n(const \{ TextDecoder[\s\S]*?)^```/m.exec(readme)?.[1] ?? '');
  const inJsdom = await run(project, ['npx', 'jest', '--env', 'jsdom', '--setupFiles', './setup.js']);
  expect(inJsdom.stderr).toContain('2 passed, 2 total');
});

it('Vite builds a page with the client', async () => {
  const project = await newFolder();
  await writeFile(join(project, 'package.json'), '{"type":"module"}');
  await npmInstall(project, tarballOf('@fanfare/client'), `vite@${versions.vite}`);
  await writeFile(join(project, 'index.html'), '<!doctype html><script type="module" src="/page.js"></script>');
  await writeFile(
    join(project, 'page.js'),
    `import { createClient } from '@fanfare/client'; createClient('/ws').connect();`,
  );
  await run(project, ['npx', 'vite', 'build']);
  const [file = ''] = await readdir(join(project, 'dist/assets'));
  const built = await readFile(join(project, 'dist/assets', basename(file)), 'utf8');
  // The WebSocket of the browser, and no code for Node.
  expect(built).toContain('globalThis.WebSocket');
  expect(built).not.toMatch(/["']node:|\brequire\(/);
});
