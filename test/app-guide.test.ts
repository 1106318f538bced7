/**
 * The code of docs/app-guide.md compiles, and its data is JSON. `npm run test:guide` follows the guide from an empty
 * folder.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { readGuide } from './guide/guide.js';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What the compiler reports about these files in a folder with the packages of this repository. */
async function compile(files: ReadonlyMap<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fanfare-guide-'));
  try {
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
    for (const [path, text] of files) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text);
    }
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    // The sources of the packages, which need no build.
    const args = [compiler, '--project', folder, '--customConditions', 'source', '--skipLibCheck', '--types', 'node'];
    return await new Promise((resolve) => {
      execFile(process.execPath, args, { cwd: folder }, (_error, stdout) => resolve(stdout));
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

it('every file of the guide compiles, also after the steps that replace it', async () => {
  const files = new Map<string, string>();
  let versions = 0;
  for (const { heading, steps } of readGuide()) {
    for (const step of steps) {
      if (step.kind !== 'file') continue;
      if (step.path.endsWith('.json')) expect(() => JSON.parse(step.text), step.path).not.toThrow();
      files.set(step.path, step.text);
      versions++;
    }
    // Sections 2 and 6 change src.
    if (/React and Vite|Tokens/.test(heading)) expect(await compile(files), heading).toBe('');
  }
  expect(versions).toBeGreaterThan(15);
  expect(files.has('src/chat.tsx')).toBe(true);
});
