/** Ctrl+C: a command stops its processes, keeps its results, and prints both. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readResultFile } from '../src/load/result-file.js';

const timeout = 30_000;
const poll = { timeout: 20_000, interval: 20 };

/** The folder in which the command creates its temporary folders. */
let folder: string;
let running: ChildProcessByStdio<null, Readable, Readable> | null = null;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fanfare-stop-'));
});

afterEach(async () => {
  running?.kill('SIGKILL');
  await rm(folder, { recursive: true });
});

function start(file: string, args: readonly string[]) {
  const main = fileURLToPath(new URL(`../dist/${file}`, import.meta.url));
  const env = { ...process.env, TMPDIR: folder };
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  running = child;
  return { child, stdout: text(child.stdout), stderr: text(child.stderr) };
}

function childrenOf(parent: number | undefined): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || !existsSync(`/proc/${pid}/stat`)) return false;
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent;
  });
}

function commandOf(pid: string): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
}

it.each([
  ['a load', 'main.js', ['fan-out', '--nodes', '2', '--seconds', '60'], 'shard-main', 'SIGINT', 130],
  [
    'a load that is terminated',
    'main.js',
    ['fan-out', '--nodes', '2', '--seconds', '60'],
    'broker/dist/main.js',
    'SIGTERM',
    143,
  ],
  ['levels', 'main.js', ['levels', '--levels', 'fast', '--seconds', '60'], 'broker/dist/main.js', 'SIGINT', 130],
  ['compare', 'compare/compare-main.js', ['--cases', 'cross-node', '--seconds', '60'], 'shard-main', 'SIGINT', 130],
  ['verify', '../../tools/verify/dist/main.js', ['--fault', 'kill-node'], 'broker/dist/main.js', 'SIGINT', 130],
] as const)(
  '%s stops all processes that it has started, and leaves no folder',
  { timeout },
  async (_, file, args, sign, signal, code) => {
    const { child, stderr, stdout } = start(file, args);
    await expect.poll(() => childrenOf(child.pid).some((pid) => commandOf(pid).includes(sign)), poll).toBe(true);
    const started = childrenOf(child.pid);
    child.kill(signal);
    expect(await once(child, 'exit')).toEqual([code, null]);
    expect(await stderr).toMatch(/Stopped; (no run had finished, and )?nothing was written\.\n$/);
    expect(await stdout).toBe('');
    expect(readdirSync(folder)).toEqual([]);
    await expect.poll(() => started.filter((pid) => existsSync(`/proc/${pid}`)), poll).toEqual([]);
  },
);

it('a load of several runs keeps the results of finished runs', { timeout }, async () => {
  const [plan, json] = [join(folder, 'plan.yaml'), join(folder, 'result.json')];
  const run = '- scenario: fan-out\n  subscribers: 5\n  seconds: ';
  await writeFile(plan, `${run}0.2\n${run}60\n`);
  const { child, stderr, stdout } = start('main.js', ['plan', plan, '--json', json]);
  let said = '';
  const isSecond = (): boolean => said.split('5 subscribers').length > 2;
  child.stderr.on('data', (chunk: Buffer) => {
    if (isSecond()) return;
    said += chunk.toString();
    if (isSecond()) child.kill('SIGINT');
  });
  expect(await once(child, 'exit')).toEqual([130, null]);
  expect(await stderr).toContain(`Stopped; keeping the results of the finished run:\nWrote ${json}.\n`);
  expect(await stdout).toContain('5 subscribers');
  expect((await readResultFile(json)).results).toHaveLength(1);
});
