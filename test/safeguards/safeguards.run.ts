/**
 * `npm run safeguards`: removes one safeguard after the other in a copy of the repository, and expects its test to
 * fail.
 */
import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Safeguard, safeguards } from './safeguards.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** What tests of the nodes and the client need. */
const entries = [
  ...['broker', 'client', 'protocol', 'tools/local-cluster', 'test'],
  ...['package.json', 'tsconfig.base.json', 'vitest.config.ts'],
];
let copy = '';

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'fanfare-safeguards-'));
  const isWanted = (path: string): boolean => !/(^|\/)(node_modules|\.git)$/.test(path);
  for (const entry of entries) {
    await cp(join(root, entry), join(copy, entry), { recursive: true, filter: isWanted });
  }
  // Our own workspaces are links to the copy; other packages are shared.
  for (const name of await readdir(join(root, 'node_modules'))) {
    if (name !== '@fanfare') await link(join(root, 'node_modules', name), join('node_modules', name));
  }
  for (const name of ['broker', 'client', 'protocol', 'tools/local-cluster']) {
    await link(join(copy, name), join('node_modules/@fanfare', basename(name)));
  }
});

async function link(target: string, path: string): Promise<void> {
  await mkdir(dirname(join(copy, path)), { recursive: true });
  await symlink(target, join(copy, path));
}

afterAll(() => rm(copy, { recursive: true, force: true }));

interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

/** Runs the test of a safeguard in the copy. Processes that it starts run what was built from the copy. */
async function runTest({ file, testFile, test }: Safeguard, env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  if (file.startsWith('broker/src')) await run('npx', ['tsc', '--build', '--force', 'broker']);
  const report = join(copy, 'report.json');
  const pattern = test.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const args = ['vitest', 'run', testFile, '-t', pattern, '--reporter=json', `--outputFile=${report}`];
  await rm(report, { force: true });
  await run('npx', args, env);
  const { numPassedTests, numFailedTests } = JSON.parse(await readFile(report, 'utf8'));
  return { passed: numPassedTests, failed: numFailedTests };
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: copy,
      env: { ...process.env, ...env },
      stdio: 'ignore',
      timeout: 300_000,
    });
    child.once('error', reject);
    child.once('close', () => resolve());
  });
}

describe.each(safeguards)('without "$name"', (safeguard) => {
  it(`a test fails: ${safeguard.test}`, async () => {
    const path = join(copy, safeguard.file);
    const text = await readFile(path, 'utf8');
    await writeFile(
      path,
      text.replace(safeguard.find, () => safeguard.replace),
    );
    try {
      // The test fails at this deadline, which is shorter than that of a test that passes.
      const { passed, failed } = await runTest(safeguard, { TEST_DEADLINE_MS: '30000' });
      expect({ passed, failed }).toMatchObject({ failed: expect.toSatisfy((count: number) => count > 0) });
    } finally {
      await writeFile(path, text);
    }
    // With the safeguard, the same test passes: it fails only because the safeguard is missing.
    const { passed, failed } = await runTest(safeguard);
    expect({ failed, hasRun: passed > 0 }).toEqual({ failed: 0, hasRun: true });
  });
});
