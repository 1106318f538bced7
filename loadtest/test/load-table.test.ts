/** The terminal output during a load and after it. */
import { expect, it } from 'vitest';
import type { Moment } from '../src/load/result.js';
import { loadTable } from '../src/report/load-table.js';
import { ProgressLine } from '../src/report/progress-line.js';
import { moment, result } from './results.js';

const results = ['fanfare', 'raw', 'nats', 'nchan', 'mosquitto', 'socketio'].map((server) =>
  result({ server, label: '10000 subscribers, 128 B' }),
);

function widest(table: string): number {
  return Math.max(...table.split('\n').map(({ length }) => length));
}

it('the table fits the terminal and has every result', () => {
  for (const width of [80, 100, 120]) {
    for (const some of [results.slice(0, 1), results.slice(0, 2), results]) {
      const table = loadTable(some, width);
      expect(widest(table)).toBeLessThanOrEqual(width);
      for (const { server } of some) expect(table.split(` ${server} `)).toHaveLength(2);
    }
  }
  expect(widest(loadTable(results))).toBeLessThanOrEqual(110);
});

it('the table has a line for each result and no empty column if the terminal is wide', () => {
  const [head, , ...rows] = loadTable(results, 250).split('\n');
  expect(rows).toHaveLength(results.length);
  expect(head).toContain('server CPU');
  expect(head).not.toContain('Redis');
});

it('warnings are below the table', () => {
  const [table, notes] = loadTable([result({ complaints: ['Nothing arrived.'] })]).split('\n\n');
  expect(table).toMatch(/\| valid +\| NO +\|/);
  expect(notes).toBe('- 100 subscribers, fanfare: Nothing arrived.');
});

function shown(
  output: { readonly isTTY: boolean; readonly columns: number },
  moments: number,
  other: Partial<Moment> = {},
): string {
  let text = '';
  const write = (chunk: string | Uint8Array): boolean => {
    text += String(chunk);
    return true;
  };
  const progress = new ProgressLine({ ...output, write });
  for (let at = 1; at <= moments; at++) progress.moment({ ...moment(at / 2, 5), ...other });
  return text;
}

it('a load without a terminal prints a progress line every ten seconds', () => {
  const lines = shown({ isTTY: false, columns: 0 }, 50).split('\n');
  expect(lines).toEqual([expect.stringMatching(/^ {2}10\.0 s: /), expect.stringMatching(/^ {2}20\.0 s: /), '']);
});

it('the progress line leaves out the CPU of a server if it is unknown', () => {
  expect(shown({ isTTY: true, columns: 200 }, 1)).toContain('servers 10 %');
  expect(shown({ isTTY: true, columns: 200 }, 1, { serverCpu: null })).not.toContain('servers');
});

it('the progress line never wraps', () => {
  const writings = shown({ isTTY: true, columns: 60 }, 3).split('\r\u001b[K').slice(1);
  expect(writings.map(({ length }) => length)).toEqual([59, 59, 59]);
});
