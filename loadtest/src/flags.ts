/** Reading flags: what is wrong with one is told in one sentence. */
import { type ParseArgsConfig, parseArgs } from 'node:util';

/** The command line is wrong; the message is one sentence that says how. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

type Flags = NonNullable<ParseArgsConfig['options']>;

/** What `parseArgs` answers for these flags. */
type Read<Given extends Flags> = ReturnType<typeof parseArgs<{ options: Given; allowPositionals: true }>>;

export function readFlags<const Given extends Flags>(args: readonly string[], options: Given): Read<Given> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    // The first sentence names the flag; those behind it are about positionals.
    throw new UsageError(`${(error as Error).message.split('. ')[0]?.replace(/\.$/, '')}.`);
  }
}

/** Names separated by commas, each once. */
export function readNames<Name extends string>(flag: string, text: string, known: readonly Name[]): readonly Name[] {
  const names = new Set<Name>();
  for (const given of text.split(',')) {
    const name = known.find((candidate) => candidate === given);
    if (name === undefined) throw new UsageError(`--${flag} does not know "${given}", only ${known.join(', ')}.`);
    names.add(name);
  }
  return [...names];
}

export function readInteger(flag: string, text: string, least: number, most: number): number {
  const value = readNumber(flag, text, least, most);
  if (!Number.isInteger(value)) throw new UsageError(`--${flag} must be a whole number, not "${text}".`);
  return value;
}

export function readNumber(flag: string, text: string, least: number, most: number): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= least && value <= most) return value;
  throw new UsageError(`--${flag} must be a number from ${least} to ${most}, not "${text}".`);
}
