/** Tests of the images without a container engine: the Dockerfiles are linted, built and run step by step. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createClient } from '@fanfare/client';
import { Child, findFreePort, startRedisShards } from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../broker/src/settings/config.js';
import { isOlder, neededGlibc } from '../glibc.js';
import { environmentOf, execForm, problemsOf, stagesOf } from './dockerfile.js';
import { Image, isInContext, root, whatIsMissing } from './image.js';

const run = promisify(execFile);
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const ofNode = read('Dockerfile');
const ofLoadtest = read('loadtest/Dockerfile');

describe('the Dockerfiles', () => {
  it('have no problems', () => {
    expect(problemsOf(ofNode, { isServer: true })).toEqual([]);
    expect(problemsOf(ofLoadtest, { isServer: false })).toEqual([]);
  });

  it('expose the client port, which requires authentication, and keep the admin port on loopback', () => {
    const last = stagesOf(ofNode).at(-1);
    const environment = last === undefined ? {} : environmentOf(last);
    expect(() => loadConfig(environment)).toThrow('FANFARE_HOST exposes the node without authentication');
    // As with `docker run --network host`.
    const { host, adminHost } = loadConfig({ ...environment, FANFARE_AUTH: 'none' });
    expect({ host, adminHost }).toEqual({ host: '0.0.0.0', adminHost: '127.0.0.1' });
  });

  it('use the same base image, with a Node that has a binary, and a Debian that can load it', () => {
    const bases = new Set([ofNode, ofLoadtest].flatMap((text) => stagesOf(text).map(({ image }) => image)));
    expect(bases.size).toBe(1);
    const [, version = '', major = '', debian = ''] =
      /^node:((\d+)\.\d+\.\d+)-(\w+)-slim$/.exec([...bases][0] ?? '') ?? [];
    expect(JSON.parse(read('test/nodes/versions.json'))).toContain(version);
    const [glibc = '', abi = ''] = [
      { bookworm: '2.36', trixie: '2.41' }[debian],
      { 20: '115', 22: '127', 24: '137' }[major],
    ];
    for (const arch of ['x64', 'arm64']) {
      const needed = neededGlibc(join(root, `node_modules/uWebSockets.js/uws_linux_${arch}_${abi}.node`));
      expect(isOlder(glibc, needed), `${debian} has glibc ${glibc}; ${needed} is needed`).toBe(false);
    }
  });

  it.each<[string, string, string]>([
    ['an image without a fixed version', 'FROM node:24.22.3-trixie-slim\n', 'FROM node:latest\n'],
    ['an image without a full version', 'FROM node:24.22.3-trixie-slim\n', 'FROM node:24-trixie-slim\n'],
    ['a base without glibc', 'FROM node:24.22.3-trixie-slim\n', 'FROM node:24.22.3-alpine\n'],
    ['root', 'USER 1000:1000', 'USER root'],
    ['a user by name', 'USER 1000:1000', 'USER node'],
    ['no user', 'USER 1000:1000\n', ''],
    [
      'a shell that starts the node',
      'ENTRYPOINT ["node", "broker/dist/main.js"]',
      'ENTRYPOINT node broker/dist/main.js',
    ],
    ['npm that starts the node', 'ENTRYPOINT ["node", "broker/dist/main.js"]', 'ENTRYPOINT ["npm", "start"]'],
    ['no health check', /HEALTHCHECK[^\n]*\n[^\n]*\n/.exec(ofNode)?.[0] ?? '', ''],
    ['a health check in a shell', /CMD \["node", "--eval".*\n/.exec(ofNode)?.[0] ?? '', 'CMD true\n'],
    ['no signal', 'STOPSIGNAL SIGTERM\n', ''],
    ['no ports', 'EXPOSE 8080 8081\n', ''],
    ['ADD', 'COPY LICENSE ./', 'ADD https://example.com/LICENSE ./'],
    ['a secret', 'ENV NODE_ENV=production', 'ENV API_TOKEN=hush NODE_ENV=production'],
    ['install scripts of packages', ' --ignore-scripts --no-audit', ' --no-audit'],
    ['npm install', 'npm ci --omit=dev', 'npm install --omit=dev'],
    ['files that the user owns', 'COPY --from=build /app/broker', 'COPY --chown=1000 --from=build /app/broker'],
    ['the whole context', 'COPY LICENSE ./', 'COPY . .'],
    ['a command in the last stage', 'EXPOSE', 'RUN true\nEXPOSE'],
    ['an unknown instruction', 'EXPOSE', 'EXPOES'],
  ])('have a problem with %s', (_, good, bad) => {
    expect(ofNode).toContain(good);
    expect(problemsOf(ofNode.replace(good, bad), { isServer: true })).not.toEqual([]);
  });
});

it('the build context has no files that .dockerignore excludes', () => {
  const patterns = ['*', '!broker', '**/test', '**/*.test.ts'];
  const left = ['README.md', 'broker/src/main.ts', 'broker/test/run.ts', 'broker/src/a.test.ts', 'test/docs.ts'];
  expect(left.filter((file) => isInContext(file, patterns))).toEqual(['broker/src/main.ts']);
});

/** A folder with files that every user may read, like a mounted Secret. */
async function secretsOf(
  files: Readonly<Record<string, string>>,
): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'fanfare-secrets-'));
  await chmod(path, 0o755);
  for (const [name, content] of Object.entries(files)) await writeFile(join(path, name), content, { mode: 0o644 });
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

const missing = whatIsMissing();

describe.skipIf(missing !== null)(`the image of a node${missing === null ? '' : `. ${missing}`}`, () => {
  let image: Image;

  beforeAll(async () => {
    image = await Image.build('Dockerfile');
  }, 240_000);

  afterAll(async () => {
    await image?.[Symbol.asyncDispose]();
  });

  const command = (keyword: 'ENTRYPOINT' | 'HEALTHCHECK'): [string, ...string[]] =>
    image.command(execForm(image.stage, keyword) ?? []);

  it('contains only what a node and the command fanfare need', async () => {
    const files = readdirSync(image.folder, { recursive: true, encoding: 'utf8' });
    const platform = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
    expect(files.filter((file) => /\/uws_[^/]*\.node$/.test(file))).toEqual([
      `node_modules/uWebSockets.js/${platform}`,
    ]);
    const ours = files.filter((file) => !file.includes('node_modules') && statSync(join(image.folder, file)).isFile());
    expect(
      ours.filter(
        (file) =>
          !/^(broker|protocol|client|cli|tools\/kit)\/dist\/.*\.js$|^broker\/lua\/|^LICENSE$|package.*\.json$/.test(
            file,
          ),
      ),
    ).toEqual([]);
    const packages = readdirSync(join(image.folder, 'node_modules'));
    expect(packages).toEqual(expect.arrayContaining(['ioredis', 'pino', 'prom-client', 'uWebSockets.js']));
    const unneeded = ['typescript', 'vitest', 'testcontainers', '@types', 'chart.js', 'zod'];
    expect(packages.filter((name) => unneeded.includes(name))).toEqual([]);
    const { stdout } = await run('du', ['-s', '--block-size=1M', image.folder]);
    expect(Number.parseInt(stdout, 10)).toBeLessThan(60);
  });

  it('does not start until authentication is configured', async () => {
    await using node = new Child({ command: command('ENTRYPOINT'), cwd: image.folder, env: image.environment({}) });
    expect(await node.exited).toBe(2);
    expect(node.logs().join('\n')).toContain('FANFARE_AUTH');
  });

  it('runs with a read-only file system, passes its health check, and stops at SIGTERM', async () => {
    const [port, adminPort] = [await findFreePort(), await findFreePort()];
    const env = image.environment({
      FANFARE_AUTH: 'none',
      FANFARE_PORT: String(port),
      FANFARE_ADMIN_PORT: String(adminPort),
      // Its libraries are loaded only if tracing is on. Nothing listens at this address.
      FANFARE_TRACING_URL: 'http://127.0.0.1:9/v1/traces',
      FANFARE_TRACING_RATIO: '1',
    });
    const [check, ...checkArgs] = command('HEALTHCHECK');
    const isHealthy = (): Promise<boolean> =>
      run(check, checkArgs, { cwd: image.folder, env }).then(
        () => true,
        () => false,
      );
    await using node = new Child({ command: command('ENTRYPOINT'), cwd: image.folder, env });
    expect(
      await node.find((line) => (line.includes('"listening"') ? true : null), AbortSignal.timeout(60_000)),
      node.explain('It does not listen.'),
    ).toBe(true);
    const status = readFileSync(`/proc/${node.pid}/status`, 'utf8');
    expect(/^Uid:\s+(\d+)/m.exec(status)?.[1]).not.toBe('0');
    expect(await isHealthy()).toBe(true);
    const console = await fetch(`http://127.0.0.1:${adminPort}/`);
    expect(console.status).toBe(200);
    expect(await console.text()).toContain('Fanfare');
    await using client = createClient(`ws://127.0.0.1:${port}/ws`);
    const received: unknown[] = [];
    const subscription = client.subscribe('news', ({ data }) => received.push(data));
    await subscription.ready;
    await client.publish('news', { title: 'from an image' });
    await expect.poll(() => received).toEqual([{ title: 'from an image' }]);
    expect(await node.stop(60_000), node.explain('It did not exit with 0.')).toBe(0);
    expect(node.logs().join('\n')).toContain('"stopped"');
    expect(await isHealthy()).toBe(false);
  });

  it('has the command fanfare, which uses the settings of its node', async () => {
    await using servers = await startRedisShards(2);
    await using secrets = await secretsOf({ 'redis-url': servers.url });
    const [port, adminPort] = [await findFreePort(), await findFreePort()];
    // As in k8s/base.
    const env = image.environment({
      FANFARE_AUTH: 'none',
      FANFARE_PORT: String(port),
      FANFARE_ADMIN_PORT: String(adminPort),
      FANFARE_REDIS_URL_FILE: join(secrets.path, 'redis-url'),
      FANFARE_URL: `ws://127.0.0.1:${port}/ws`,
    });
    const { FANFARE_URL: _, ...ofNode } = env;
    const fanfare = (...args: string[]): Promise<{ readonly stdout: string }> => {
      const [program, ...words] = image.command(['fanfare', ...args]);
      return run(program, words, { cwd: '/', env });
    };
    await using node = new Child({ command: command('ENTRYPOINT'), cwd: image.folder, env: ofNode });
    const isReady = (): Promise<boolean> =>
      fetch(`http://127.0.0.1:${adminPort}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      );
    await expect.poll(isReady, { timeout: 60_000, message: 'The node is ready' }).toBe(true);

    const { version } = JSON.parse(read('cli/package.json')) as { readonly version: string };
    expect(await fanfare('--version')).toEqual({ stdout: `${version}\n`, stderr: '' });
    const [first, second] = servers.servers.map((server) => `127.0.0.1:${server.port}`);
    const { stdout } = await fanfare('shards', 'list');
    expect(stdout.replaceAll(/: [\d,-]+$/gm, '')).toBe(`${first}  32 partitions\n${second}  32 partitions\n`);
    expect((await fanfare('publish', 'news', '{"title":"from a shell"}')).stdout).toMatch(/^\d+-1\n$/);
    expect((await fanfare('history', 'news')).stdout).toBe('{"title":"from a shell"}\n');
    expect((await fanfare('doctor')).stdout).toContain('The WebSocket handshake works');
    const issuer = ['--issuer', 'a', '--secret', 'x'.repeat(32)];
    const token = await fanfare('token', 'create', ...issuer, '--subject', 'b', '--publish', '>');
    expect(token.stdout).toMatch(/^\S+\.\S+\.\S+\n$/);
    await expect(fanfare('bench', 'fan-out')).rejects.toThrow('Use the one of loadtest/Dockerfile (docs/loadtest.md).');
    expect(await node.stop(60_000), node.explain('It did not exit with 0.')).toBe(0);
  });
});
