/** The command line of `npm run fuzz`. */
import { parseArgs } from 'node:util';

/** The command line is wrong; the message says in one sentence how. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export type Request =
  | { readonly name: 'help'; readonly text: string }
  | { readonly name: 'replay'; readonly target: string; readonly file: string }
  | {
      readonly name: 'fuzz';
      readonly targets: readonly string[];
      readonly seconds: number;
      readonly seed: number;
      readonly isKept: boolean;
      readonly isDetailed: boolean;
    };

export type Abouts = Readonly<Record<string, { readonly about: string }>>;

function help(targets: Abouts): string {
  const list = Object.entries(targets).map(([name, { about }]) => `  ${name.padEnd(17)} ${about}`);
  return `Searches for input that breaks a parser: mutates a corpus, and keeps inputs that reach new code.

usage: npm run fuzz -- --target <names> [options]

targets:
${list.join('\n')}
  ${'all'.padEnd(17)} each of them in turn

options:
  --target <names>    names of targets, separated by commas
  --seconds <n>       seconds for each target (default: 60)
  --seed <n>          seed of the random numbers (default: a new one each time; it is printed)
  --keep              write the inputs that reached new code to fuzz/corpus, as small as possible
  --lines             list the lines that no input reached
  --replay <file>     run the target once on the bytes of a file, and show what fails
  --help              show this
`;
}

const flags = {
  target: { type: 'string' },
  seconds: { type: 'string', default: '60' },
  seed: { type: 'string' },
  keep: { type: 'boolean', default: false },
  lines: { type: 'boolean', default: false },
  replay: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

export function parseCommandLine(args: readonly string[], targets: Abouts): Request {
  const values = readFlags(args);
  if (values.help) return { name: 'help', text: help(targets) };
  const known = Object.keys(targets);
  if (values.target === undefined) throw new UsageError(`--target must name one of ${known.join(', ')}, or all.`);
  const names = values.target === 'all' ? known : [...new Set(values.target.split(','))];
  for (const name of names) {
    if (!known.includes(name))
      throw new UsageError(`--target does not know "${name}", only ${known.join(', ')}, or all.`);
  }
  if (values.replay !== undefined) {
    const [target, ...others] = names;
    if (target === undefined || others.length > 0) throw new UsageError('--replay goes with exactly one --target.');
    return { name: 'replay', target, file: values.replay };
  }
  return {
    name: 'fuzz',
    targets: names,
    seconds: readInteger('seconds', values.seconds, 1, 86_400),
    seed: values.seed === undefined ? Date.now() % 2 ** 32 : readInteger('seed', values.seed, 0, 2 ** 32 - 1),
    isKept: values.keep,
    isDetailed: values.lines,
  };
}

function readFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: flags }).values;
  } catch (error) {
    // The first sentence names the flag; the others are about positionals.
    throw new UsageError(`${(error as Error).message.split(/\.(?:\s|$)/)[0]}.`);
  }
}

function readInteger(flag: string, text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new UsageError(`--${flag} must be a whole number from ${least} to ${most}, not "${text}".`);
}
