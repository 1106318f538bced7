/** The command line of `npm run abuse`. */
import {
  choices,
  describeNames,
  describeOptions,
  HelpRequest,
  integer,
  number,
  type Option,
  parseOptions,
  text,
  toggle,
} from '@fanfare/kit/options';
import type { Attack } from './attack.js';
import type { AttackRunOptions } from './attack-run.js';
import { attacks } from './attacks/index.js';

export interface AbuseRequest {
  readonly attacks: readonly Attack[];
  /** Sizes of the cluster. */
  readonly nodes: readonly number[];
  readonly options: Pick<AttackRunOptions, 'seconds' | 'rounds'>;
  readonly jsonFile: string | null;
  /** Whether to print the table of docs/security.md. */
  readonly isForDocs: boolean;
}

const oneSize = integer('nodes; 1 works in memory, more share a Redis; an attack may need more', 1, 1, 9);
const sizes: Option<readonly number[]> = {
  ...oneSize,
  about: `${oneSize.about}; several numbers, separated by commas, run one after the other`,
  placeholder: '<numbers>',
  fallback: '1,3',
  read: (name, given) => [...new Set(given.split(',').map((each) => oneSize.read(name, each)))],
};

const abuseOptions = {
  attack: choices(
    'attacks, separated by commas; --list shows them',
    attacks.map(({ name }) => name),
    'all',
  ),
  seconds: number(
    'length of each attack, and of the time before and after it; an attack may need longer',
    3,
    0.1,
    600,
    'seconds',
  ),
  rounds: integer('how often each attack runs; the median of the rounds is the latency', 3, 1, 100),
  nodes: sizes,
  json: text('write all numbers to a file', '<file>', null),
  docs: toggle('print the table of docs/security.md'),
  list: toggle('show all attacks'),
};

const abuseHelp = `Attacks nodes on this machine in every way that docs/security.md lists, while control clients use them as usual. An attack passes if
the nodes give the documented answers and stay small, and if the control clients lose nothing and are as fast as before.
With taskset and more than one CPU, the attackers have the last CPU for themselves.
The exit code is 0 if every verdict is good, 1 if one is bad, 2 if the command line is wrong.

usage: npm run abuse -- [options]

${describeOptions(abuseOptions)}
`;

function attackList(): string {
  const lines = attacks.map(({ name, about, answers }) => [name, `${about}: ${answers.join(', ')}`] as const);
  return `Attacks, for --attack, and the answers of a node:\n\n${describeNames(lines)}\n`;
}

export function parseAbuseCommandLine(args: readonly string[]): AbuseRequest {
  const {
    attack: names,
    seconds,
    rounds,
    nodes,
    json,
    docs,
    list,
  } = parseOptions(args, abuseOptions, () => abuseHelp).values;
  if (list) throw new HelpRequest(attackList());
  return {
    attacks: names.flatMap((name) => attacks.filter((attack) => attack.name === name)),
    nodes,
    options: { seconds, rounds },
    jsonFile: json,
    isForDocs: docs,
  };
}
