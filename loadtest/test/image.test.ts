/** The image of the load generator, built in a folder without a container engine. */
import { execFile } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startNode } from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { execForm } from '../../test/deployment/dockerfile.js';
import { Image, whatIsMissing } from '../../test/deployment/image.js';

const run = promisify(execFile);
const missing = whatIsMissing();

describe.skipIf(missing !== null)(`the image of the load generator${missing === null ? '' : `. ${missing}`}`, () => {
  let image: Image;

  beforeAll(async () => {
    image = await Image.build('loadtest/Dockerfile');
  }, 240_000);

  afterAll(async () => {
    await image?.[Symbol.asyncDispose]();
  });

  /** The output and the exit code that the container would have. */
  const start = async (...args: readonly string[]) => {
    const [file, ...words] = image.command([...(execForm(image.stage, 'ENTRYPOINT') ?? []), ...args]);
    return await run(file, words, { cwd: image.folder, env: image.environment({}) }).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({ code, stdout, stderr }),
    );
  };

  it('contains only the load generator, without servers and other tools', async () => {
    const files = readdirSync(image.folder, { recursive: true, encoding: 'utf8' });
    const ours = files.filter((file) => !file.includes('node_modules') && statSync(join(image.folder, file)).isFile());
    expect(
      ours.filter(
        (file) => !/^(protocol|client|tools\/kit|loadtest)\/dist\/.*\.js$|^LICENSE$|package.*\.json$/.test(file),
      ),
    ).toEqual([]);
    expect(ours.filter((file) => /\/(launch|compare|costs|levels)\//.test(file))).toEqual([]);
    const packages = readdirSync(join(image.folder, 'node_modules'));
    expect(packages).toEqual(expect.arrayContaining(['@fanfare', 'chart.js', 'hdr-histogram-js', 'ws', 'yaml', 'zod']));
    const unwanted = ['socket.io', 'aedes', 'ioredis', 'uWebSockets.js', 'testcontainers', 'typescript', 'vitest'];
    expect(packages.filter((name) => unwanted.includes(name))).toEqual([]);
    const linked = readdirSync(join(image.folder, 'node_modules/@fanfare'));
    expect(linked.toSorted()).toEqual(['client', 'kit', 'loadtest', 'protocol']);
    const { stdout } = await run('du', ['-s', '--block-size=1M', image.folder]);
    expect(Number.parseInt(stdout, 10)).toBeLessThan(30);
  });

  it('prints its help and refuses to start servers', async () => {
    expect(await start('--help')).toMatchObject({ code: 0, stdout: expect.stringContaining('npm run loadtest --') });
    const refusal = 'This installation cannot start servers: give the URL of a broker with --url. See --help.\n';
    for (const scenario of ['fan-out', 'levels']) {
      expect(await start(scenario)).toMatchObject({ code: 2, stderr: refusal });
    }
  });

  it.each([
    ['bare sockets', []],
    ['the typed client', ['--client']],
  ])('puts a load on a broker at a URL with %s', async (_, args) => {
    await using node = await startNode();
    const load = ['fan-out', `--url=${node.url}`, '--subscribers=5', '--rate=20', '--seconds=0.5', '--json=-'];
    const { code, stdout, stderr } = await start(...load, ...args);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const { results } = JSON.parse(stdout.slice(stdout.indexOf('\n{')));
    expect(results).toMatchObject([{ lost: 0, complaints: [] }]);
    expect(results[0].deliveries).toBeGreaterThan(0);
  });
});
