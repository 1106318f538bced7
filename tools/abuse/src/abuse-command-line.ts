/** The words of `npm run abuse`. */
import { type Flags, readFlags, readInteger, readNames, readNumber, UsageError } from '@fanfare/kit/flags';
import type { Attack } from './attack.js';
import { attacks } from './attacks/index.js';
import type { SiegeOptions } from './siege.js';

export type AbuseRequest =
  | { readonly name: 'help' }
  | { readonly name: 'list' }
  | {
      readonly name: 'abuse';
      readonly attacks: readonly Attack[];
      /** In which sizes of a cluster. */
      readonly nodes: readonly number[];
      readonly options: Pick<SiegeOptions, 'seconds' | 'rounds'>;
      readonly jsonFile: string | null;
      /** Whether the table is the one of docs/security.md. */
      readonly isForDocs: boolean;
    };

export const abuseHelp = `Attacks nodes of this machine in every way that docs/security.md knows, with good clients beside the attackers, and judges: does the
attack get nothing, are the answers the documented ones, do the good clients lose nothing, are they as fast as before, do the nodes stay small.
With taskset and more than one CPU the attackers have the last CPU for themselves.
The exit code is 0 if every verdict is good, 1 if one is bad, 2 if the command line is wrong.

usage: npm run abuse -- [options]

  --attack <names>   which, separated by commas (default: all); --list says what there is
  --seconds <n>      length of each attack, and of the time measured before and after it (default: 3, from 0.1 to 600); an attack may need longer
  --rounds <n>       how often each attack is made; of latencies the median of the rounds counts (default: 3, at most 100)
  --nodes <numbers>  how many nodes there are: 1, in memory, or more, on a Redis; several numbers, separated by commas, are done one after the other
                     (default: 1,3; each from 1 to 9); an attack may need more
  --json <file>      write all numbers to a file
  --docs             print the table of docs/security.md
  --list             show all attacks
  --help             show this
`;

export function abuseList(): string {
  const width = Math.max(...attacks.map(({ name }) => name.length));
  const lines = attacks.map(({ name, about, answers }) => `  ${name.padEnd(width)}  ${about}: ${answers.join(', ')}`);
  return `Attacks, for --attack, and what a node answers:\n\n${lines.join('\n')}\n`;
}

const mostNodes = 9;

const names = attacks.map(({ name }) => name);

const flags = {
  attack: { type: 'string', default: 'all', choices: [...names, 'all'] },
  seconds: { type: 'string', default: '3' },
  rounds: { type: 'string', default: '3' },
  nodes: { type: 'string', default: '1,3' },
  json: { type: 'string' },
  docs: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const satisfies Flags;

export function parseAbuseCommandLine(args: readonly string[]): AbuseRequest {
  const { positionals, values } = readFlags(args, flags);
  if (values.help) return { name: 'help' };
  if (values.list) return { name: 'list' };
  if (positionals[0] !== undefined) throw new UsageError(`"${positionals[0]}" stands where an option was expected.`);
  const chosen = values.attack === 'all' ? names : readNames('--attack', values.attack, names);
  return {
    name: 'abuse',
    attacks: chosen.flatMap((name) => attacks.filter((attack) => attack.name === name)),
    nodes: [...new Set(values.nodes.split(',').map((text) => readInteger('--nodes', text, 1, mostNodes)))],
    options: {
      seconds: readNumber('--seconds', values.seconds, 0.1, 600),
      rounds: readInteger('--rounds', values.rounds, 1, 100),
    },
    jsonFile: values.json ?? null,
    isForDocs: values.docs,
  };
}
