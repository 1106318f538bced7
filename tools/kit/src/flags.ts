/** Reading flags: what is wrong with one is told in one sentence. */
import { type ParseArgsConfig, parseArgs } from 'node:util';

/** The command line is wrong; the message is one sentence that says how. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

type Flag = NonNullable<ParseArgsConfig['options']>[string] & {
  /** All that can be said there; who says nothing is told them. */
  readonly choices?: readonly string[];
};

export type Flags = Readonly<Record<string, Flag>>;

/** What `parseArgs` answers for these flags. */
type Read<Given extends Flags> = ReturnType<typeof parseArgs<{ options: Given; allowPositionals: true }>>;

export function readFlags<const Given extends Flags>(args: readonly string[], options: Given): Read<Given> {
  const read = parseArgs({ args: [...args], options, allowPositionals: true, strict: false, tokens: true });
  for (const token of read.tokens) if (token.kind === 'option') checkFlag(token, options);
  // They are as `parseArgs` wants them too; it only has other words for what is not.
  return read as Read<Given>;
}

interface FlagToken {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function checkFlag({ name, rawName, value, inlineValue }: FlagToken, options: Flags): void {
  const flag = Object.hasOwn(options, name) ? options[name] : undefined;
  if (flag === undefined) throw new UsageError(`There is no option ${rawName} here, only ${listFlags(options)}.`);
  if (flag.type === 'boolean') {
    if (value !== undefined) throw new UsageError(`${rawName} stands alone: it takes no value.`);
    return;
  }
  // A negative number is a value; what is wrong with it is said where it is read.
  const isNext = inlineValue === false && value !== undefined && /^-[^\d.]/.test(value);
  if (value !== undefined && !isNext) return;
  const choices = flag.choices === undefined ? '' : `: ${flag.choices.join(', ')}`;
  throw new UsageError(`${rawName} needs a value${isNext ? ` before ${value}` : ''}${choices}.`);
}

function listFlags(options: Flags): string {
  return Object.keys(options)
    .map((name) => `--${name}`)
    .join(', ');
}

/** Names separated by commas, each once. */
export function readNames<Name extends string>(flag: string, text: string, known: readonly Name[]): readonly Name[] {
  return [...new Set(text.split(',').map((given) => readName(flag, given, known)))];
}

export function readName<Name extends string>(flag: string, text: string, known: readonly Name[]): Name {
  const name = known.find((candidate) => candidate === text);
  if (name === undefined) throw new UsageError(`${flag} does not know "${text}", only ${known.join(', ')}.`);
  return name;
}

/** `name` is that of the value, as whoever gave it wrote it: `--rate`, or `rate` in a plan. */
export function readInteger(name: string, text: string, least: number, most: number): number {
  const value = readNumber(name, text, least, most);
  if (!Number.isInteger(value)) throw new UsageError(`${name} must be a whole number, not "${text}".`);
  return value;
}

export function readNumber(name: string, text: string, least: number, most: number): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= least && value <= most) return value;
  throw new UsageError(`${name} must be a number from ${least} to ${most}, not "${text}".`);
}
