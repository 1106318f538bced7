/** Options: what the parser returns, its errors, and the help. */
import { expect, it } from 'vitest';
import {
  choice,
  choices,
  describeOptions,
  HelpRequest,
  integer,
  number,
  parseOptions,
  text,
  toggle,
  UsageError,
} from '../src/options.js';

const help = (): string => 'the help';

const table = {
  rate: number('publications per second', 10, 0.5, 100),
  topics: integer('topics', null, 1, 9),
  bytes: integer('size', 128, 1, 1_024, 'bytes'),
  level: choice('level', ['fast', 'durable'], 'fast'),
  servers: choices('servers', ['one', 'two'], 'all'),
  json: text('result file', '<file>', null),
  list: toggle('show all'),
};

it('the parser returns values, defaults, and the options that were given', () => {
  expect(parseOptions(['--rate', '-0.5e0', '--rate=2.5', '--list', 'file'], table, help, 1)).toEqual({
    values: { rate: 2.5, topics: null, bytes: 128, level: 'fast', servers: ['one', 'two'], json: null, list: true },
    given: new Set(['rate', 'list']),
    positionals: ['file'],
  });
  expect(parseOptions(['--servers', 'two,two', '--topics', '3'], table, help).values).toMatchObject({
    servers: ['two'],
    topics: 3,
  });
});

it('the parser throws the help for --help, even if other options are invalid', () => {
  expect(() => parseOptions(['--rate', 'x', '--help'], table, help)).toThrow(new HelpRequest('the help'));
});

it.each([
  [['--rats', '1'], 'Unknown option --rats. Did you mean --rate?'],
  [['--colour', '1'], 'Unknown option --colour.'],
  [['-x'], 'Unknown option -x.'],
  [['--list=yes'], '--list takes no value.'],
  [['--rate'], '--rate needs a value: 0.5 to 100.'],
  [['--json', '--list'], '--json needs a value.'],
  [['--rate', '101'], '--rate must be a number from 0.5 to 100, not "101".'],
  [['--bytes', '1.5'], '--bytes must be a whole number from 1 to 1024 bytes, not "1.5".'],
  [['--topics', ''], '--topics must be a whole number from 1 to 9, not "".'],
  [['--level', 'durabel'], '--level does not accept "durabel". Did you mean durable?'],
  [['--servers', 'one,three'], '--servers does not accept "three". Valid: one, two.'],
  [['now'], 'Unexpected argument "now".'],
])('the parser refuses %j', (args, sentence) => {
  expect(() => parseOptions(args, table, help)).toThrow(new UsageError(sentence));
});

it('the help has every option with its range and default', () => {
  expect(describeOptions(table)).toBe(`  --rate <n>         publications per second (0.5 to 100; default: 10)
  --topics <n>       topics (1 to 9)
  --bytes <n>        size (1 to 1024 bytes; default: 128)
  --level <name>     level (fast, durable; default: fast)
  --servers <names>  servers (one, two, all; default: all)
  --json <file>      result file
  --list             show all
  --help             show this help`);
});
