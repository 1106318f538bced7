/** The images, as far as they can be held without a container engine: linted, and built and run step by step. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createClient } from '@fanfare/client';
import { Child, findFreePort } from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../broker/src/settings/config.js';
import { complaintsAbout, environmentOf, execForm, stagesOf } from './dockerfile.js';
import { Image, isInContext, root, whatIsMissing } from './image.js';

const run = promisify(execFile);
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const ofNode = read('Dockerfile');
const ofLoadtest = read('loadtest/Dockerfile');

describe('the Dockerfiles', () => {
  it('have nothing to complain about', () => {
    expect(complaintsAbout(ofNode, { isServer: true })).toEqual([]);
    expect(complaintsAbout(ofLoadtest, { isServer: false })).toEqual([]);
  });

  it('open the port of clients, which asks for authentication, and leave the admin port on loopback', () => {
    const last = stagesOf(ofNode).at(-1);
    const environment = last === undefined ? {} : environmentOf(last);
    expect(() => loadConfig(environment)).toThrow('FANFARE_HOST exposes the node without authentication');
    // As with `docker run --network host`.
    const { host, adminHost } = loadConfig({ ...environment, FANFARE_AUTH: 'none' });
    expect({ host, adminHost }).toEqual({ host: '0.0.0.0', adminHost: '127.0.0.1' });
  });

  it('have one base', () => {
    const bases = [ofNode, ofLoadtest].flatMap((text) => stagesOf(text).map(({ image }) => image));
    expect(new Set(bases).size).toBe(1);
  });

  it.each<[string, string, string]>([
    ['an image that moves', 'FROM node:20.20.2-bookworm-slim\n', 'FROM node:latest\n'],
    ['an image without a full version', 'FROM node:20.20.2-bookworm-slim\n', 'FROM node:20-bookworm-slim\n'],
    ['a base without glibc', 'FROM node:20.20.2-bookworm-slim\n', 'FROM node:20.20.2-alpine\n'],
    ['root', 'USER 1000:1000', 'USER root'],
    ['a user by name', 'USER 1000:1000', 'USER node'],
    ['no user', 'USER 1000:1000\n', ''],
    ['a shell before the node', 'ENTRYPOINT ["node", "broker/dist/main.js"]', 'ENTRYPOINT node broker/dist/main.js'],
    ['npm before the node', 'ENTRYPOINT ["node", "broker/dist/main.js"]', 'ENTRYPOINT ["npm", "start"]'],
    ['no health check', /HEALTHCHECK[^\n]*\n[^\n]*\n/.exec(ofNode)?.[0] ?? '', ''],
    ['a health check by a shell', /CMD \["node", "--eval".*\n/.exec(ofNode)?.[0] ?? '', 'CMD true\n'],
    ['no signal', 'STOPSIGNAL SIGTERM\n', ''],
    ['no ports', 'EXPOSE 8080 8081\n', ''],
    ['ADD', 'COPY LICENSE ./', 'ADD https://example.com/LICENSE ./'],
    ['a secret', 'ENV NODE_ENV=production', 'ENV API_TOKEN=hush NODE_ENV=production'],
    ['scripts of packages', ' --ignore-scripts --no-audit', ' --no-audit'],
    ['npm install', 'npm ci --omit=dev', 'npm install --omit=dev'],
    ['files of the user', 'COPY --from=build /app/broker', 'COPY --chown=1000 --from=build /app/broker'],
    ['the whole context', 'COPY LICENSE ./', 'COPY . .'],
    ['something that is run at the end', 'EXPOSE', 'RUN true\nEXPOSE'],
    ['an unknown instruction', 'EXPOSE', 'EXPOES'],
  ])('would be complained about with %s', (_, good, bad) => {
    expect(ofNode).toContain(good);
    expect(complaintsAbout(ofNode.replace(good, bad), { isServer: true })).not.toEqual([]);
  });
});

it('the context is what .dockerignore leaves', () => {
  const patterns = ['*', '!broker', '**/test', '**/*.test.ts'];
  const left = ['README.md', 'broker/src/main.ts', 'broker/test/run.ts', 'broker/src/a.test.ts', 'test/docs.ts'];
  expect(left.filter((file) => isInContext(file, patterns))).toEqual(['broker/src/main.ts']);
});

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

  it('holds what a node needs, and nothing else', async () => {
    const files = readdirSync(image.folder, { recursive: true, encoding: 'utf8' });
    const platform = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
    expect(files.filter((file) => /\/uws_[^/]*\.node$/.test(file))).toEqual([
      `node_modules/uWebSockets.js/${platform}`,
    ]);
    const ours = files.filter((file) => !file.includes('node_modules') && statSync(join(image.folder, file)).isFile());
    expect(
      ours.filter((file) => !/^(broker|protocol)\/dist\/.*\.js$|^broker\/lua\/|^LICENSE$|package.*\.json$/.test(file)),
    ).toEqual([]);
    const packages = readdirSync(join(image.folder, 'node_modules'));
    expect(packages).toEqual(expect.arrayContaining(['ioredis', 'pino', 'prom-client', 'uWebSockets.js']));
    expect(packages.filter((name) => ['typescript', 'vitest', 'testcontainers', '@types'].includes(name))).toEqual([]);
    const { stdout } = await run('du', ['-s', '--block-size=1M', image.folder]);
    expect(Number.parseInt(stdout, 10)).toBeLessThan(60);
  });

  it('does not start before it is said who may connect', async () => {
    await using node = new Child({ command: command('ENTRYPOINT'), cwd: image.folder, env: image.environment({}) });
    expect(await node.exited).toBe(2);
    expect(node.logs().join('\n')).toContain('FANFARE_AUTH');
  });

  it('starts from files that it cannot write, serves, says that it is well, and ends at SIGTERM', async () => {
    const [port, adminPort] = [await findFreePort(), await findFreePort()];
    const env = image.environment({
      FANFARE_AUTH: 'none',
      FANFARE_PORT: String(port),
      FANFARE_ADMIN_PORT: String(adminPort),
      // Its libraries are loaded only where it is on; nobody listens there.
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
    expect(await node.stop(60_000), node.explain('It did not end well.')).toBe(0);
    expect(node.logs().join('\n')).toContain('"stopped"');
    expect(await isHealthy()).toBe(false);
  });
});
