/** The words of `npm run loadtest`: what can be asked for, and the sentence for what cannot. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { driverNames } from './driver.js';
import type { FanoutOptions } from './fanout.js';
import { shapeNames } from './shape.js';
import { stampBytes } from './stamp.js';

/** The command line is wrong; the message is one sentence that says how. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export type Request =
  | { readonly name: 'help' }
  | { readonly name: 'fanout'; readonly options: FanoutOptions; readonly jsonFile: string | null };

/** Room for the stamp and what encodings put around it. */
const minPublicationBytes = stampBytes + 6;

export const help = `Measures what a delivery and an idle subscriber cost a server, driver against driver.

usage: npm run loadtest -- fanout [options]

  --drivers <names>     which servers: ${driverNames.join(',')} (default: all)
  --shapes <names>      which traffic: ${shapeNames.join(',')} (default: all; none: only idle subscribers)
  --subscribers <n>     subscribers of the topic (default: 1000, at most 10000)
  --idle <n>            idle subscribers for the memory figure (default: 5000, at most 15000; 0: leave it out)
  --bytes <n>           size of a publication's data (default: 128)
  --rounds <n>          how often each driver has its turn (default: 5)
  --seconds <n>         length of each measured window (default: 3)
  --json <file>         write all samples to a file
  --help                show this
`;

const flags = {
  drivers: { type: 'string', default: driverNames.join(',') },
  shapes: { type: 'string', default: shapeNames.join(',') },
  subscribers: { type: 'string', default: '1000' },
  idle: { type: 'string', default: '5000' },
  bytes: { type: 'string', default: '128' },
  rounds: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '3' },
  json: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const satisfies ParseArgsConfig['options'];

export function parseCommandLine(args: readonly string[]): Request {
  const { positionals, values } = parse(args);
  if (values.help) return { name: 'help' };
  const [scenario, ...rest] = positionals;
  if (scenario === undefined) throw new UsageError('Say what to measure: "fanout".');
  if (scenario !== 'fanout') throw new UsageError(`There is no scenario "${scenario}", only "fanout".`);
  if (rest[0] !== undefined) throw new UsageError(`"${rest[0]}" stands where an option was expected.`);
  return {
    name: 'fanout',
    jsonFile: values.json ?? null,
    options: {
      drivers: readNames('drivers', values.drivers, driverNames),
      shapes: values.shapes === 'none' ? [] : readNames('shapes', values.shapes, shapeNames),
      // One generator process holds all sockets, and may open 20,000 files on many machines.
      subscribers: readInteger('subscribers', values.subscribers, 1, 10_000),
      idleSubscribers: readInteger('idle', values.idle, 0, 15_000),
      publicationBytes: readInteger('bytes', values.bytes, minPublicationBytes, 900),
      rounds: readInteger('rounds', values.rounds, 1, 1_000),
      seconds: readNumber('seconds', values.seconds, 0.01, 3_600),
    },
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: flags, allowPositionals: true });
  } catch (error) {
    // The first sentence names the flag; those behind it are about positionals.
    throw new UsageError(`${(error as Error).message.split('. ')[0]?.replace(/\.$/, '')}.`);
  }
}

function readNames<Name extends string>(flag: string, text: string, known: readonly Name[]): readonly Name[] {
  const names = new Set<Name>();
  for (const given of text.split(',')) {
    const name = known.find((candidate) => candidate === given);
    if (name === undefined) throw new UsageError(`--${flag} does not know "${given}", only ${known.join(', ')}.`);
    names.add(name);
  }
  return [...names];
}

function readInteger(flag: string, text: string, least: number, most: number): number {
  const value = readNumber(flag, text, least, most);
  if (!Number.isInteger(value)) throw new UsageError(`--${flag} must be a whole number, not "${text}".`);
  return value;
}

function readNumber(flag: string, text: string, least: number, most: number): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= least && value <= most) return value;
  throw new UsageError(`--${flag} must be a number from ${least} to ${most}, not "${text}".`);
}
