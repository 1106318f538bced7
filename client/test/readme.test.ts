/** The README matches the code. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { transform } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { localErrorCodes } from '../src/errors.js';
import { defaultLimits } from '../src/options.js';
import { stateCodes } from '../src/state.js';
import { startTestNode } from './test-node.js';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

/** The rows of the table with this first column: the cells, without backticks. */
function table(heading: string): string[][] {
  const lines = readme.split('\n');
  const first = lines.findIndex((line) => line.startsWith(`| ${heading} `)) + 2;
  const rows = lines.slice(first, lines.indexOf('', first));
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
}

const codes = (rows: string[][]): unknown[] => rows.map(([code]) => code);

it('the README lists every error code', () => {
  expect(codes(table('code')).sort()).toEqual([...localErrorCodes].sort());
});

it('the README lists every state code', () => {
  expect(codes(table('state code')).sort()).toEqual([...stateCodes].sort());
});

it('the README lists every option with its default, like the documentation comments', () => {
  const rows = table('option').filter(([name]) => name !== undefined && name in defaultLimits);
  expect(Object.fromEntries(rows.map(([name, value]) => [name, Number(value)]))).toEqual({ ...defaultLimits });
  const source = readFileSync(new URL('../src/options.ts', import.meta.url), 'utf8');
  const documented = [...source.matchAll(/@default (\d+)\n {3}\*\/\n {2}readonly (\w+)/g)];
  expect(Object.fromEntries(documented.map(([, value, name]) => [name, Number(value)]))).toEqual({ ...defaultLimits });
});

describe('the README', () => {
  const examples = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code as string);
  it.each(examples.map((code, index) => [index + 1, code] as const))(
    'has an example %i that runs',
    async (_number, code) => {
      await using node = await startTestNode({ hasHistory: true });
      const script = (await transform(code.replaceAll('ws://127.0.0.1:8080/ws', node.url), { loader: 'ts' })).code;
      const options = { cwd: import.meta.dirname, timeout: 60_000 };
      const { stderr } = await promisify(execFile)(
        process.execPath,
        ['--input-type=module', '--eval', script],
        options,
      );
      expect(stderr).toBe('');
      expect((await node.connection()).commands.some(({ type }) => type === 'publish')).toBe(true);
    },
  );
});
