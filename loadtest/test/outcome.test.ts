/** The end of a command: it lists the files that it has written, and loses no results. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkOutput } from '@fanfare/kit/output-file';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseResultFile, readResultFile } from '../src/load/result-file.js';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const short = ['fan-out', '--subscribers', '5', '--rate', '10', '--seconds', '0.2'];

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fanfare-outcome-'));
});

afterAll(() => rm(folder, { recursive: true }));

function command(...args: readonly string[]) {
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
}

it('a load lists the files that it has written', async () => {
  const [json, html] = ['result.json', 'report.html'].map((name) => join(folder, name)) as [string, string];
  const { stderr } = command(...short, '--json', json, '--html', html);
  expect(stderr).toMatch(new RegExp(`Wrote ${json}\\.\nWrote ${html}\\.\n$`));
  expect((await readResultFile(json)).results).toHaveLength(1);
  expect(existsSync(html)).toBe(true);
});

it('a load prints results that it cannot write, and fails', () => {
  // This device can be opened, but is always full.
  const { status, stderr, stdout } = command(...short, '--json', '/dev/full');
  expect(stderr).toContain('/dev/full could not be written: ENOSPC');
  expect(parseResultFile('stdout', stdout.slice(stdout.indexOf('\n{'))).results).toHaveLength(1);
  expect(status).toBe(1);
});

it('a load prints its results if it cannot write the page', () => {
  const { status, stdout } = command(...short, '--html', '/dev/full');
  expect(parseResultFile('stdout', stdout.slice(stdout.indexOf('\n{'))).results).toHaveLength(1);
  expect(status).toBe(1);
});

it('an output file that cannot be written is an error before the load begins', async () => {
  const file = join(folder, 'file');
  await writeFile(file, '');
  await expect(checkOutput(file)).resolves.toBeUndefined();
  await expect(checkOutput(folder)).rejects.toThrow(`${folder} is a folder: name a file in it.`);
  for (const [wrong, parent] of [
    [join(file, 'result.json'), file],
    [join(folder, 'no', 'result.json'), join(folder, 'no')],
  ] as const) {
    await expect(checkOutput(wrong)).rejects.toThrow(`${wrong} cannot be written: there is no folder ${parent}`);
  }
});
