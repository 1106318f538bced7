/**
 * Command-line options. Each is declared once, with its meaning, range and default; the parser, the help and reference
 * tables follow from that.
 */
import { parseArgs } from 'node:util';
import { closest, distance } from 'fastest-levenshtein';

/** The command line is wrong. The message is a sentence that says what to change. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The user asks for help. The message is the help. */
export class HelpRequest extends Error {
  override readonly name = 'HelpRequest';
}

export interface Option<Value = unknown> {
  /** Its meaning, without range and default. */
  readonly about: string;
  /** What the help shows for the value, such as `<n>`; null: the option is a switch, which takes no value. */
  readonly placeholder: string | null;
  /** The valid values, such as `1 to 64`; null: the meaning says it. */
  readonly range: string | null;
  /** The default, as a user would type it; null: there is none, and the value is null too. */
  readonly fallback: string | null;
  /** Throws a {@link UsageError}. `name` is the option's name as the user wrote it: `--rate`, or `rate` in a plan. */
  read(name: string, text: string): Value;
}

export type OptionTable = Readonly<Record<string, Option>>;

type ValueOf<Declared> = Declared extends Option<infer Value> ? Value : never;
export type ValuesOf<Table extends OptionTable> = { readonly [Name in keyof Table]: ValueOf<Table[Name]> };

/** Without a default, the value may be null. */
type Filled<Fallback, Value> = Fallback extends null ? Value | null : Value;

type Numbers = number | readonly number[] | null;

/** A default of several numbers is for options that take a list. */
export function integer<Fallback extends Numbers>(
  about: string,
  fallback: Fallback,
  least: number,
  most: number,
  unit?: string,
): Option<Filled<Fallback, number>> {
  return numeric('whole number', about, fallback, least, most, unit);
}

export function number<Fallback extends Numbers>(
  about: string,
  fallback: Fallback,
  least: number,
  most: number,
  unit?: string,
): Option<Filled<Fallback, number>> {
  return numeric('number', about, fallback, least, most, unit);
}

function numeric<Fallback extends Numbers>(
  kind: 'number' | 'whole number',
  about: string,
  fallback: Fallback,
  least: number,
  most: number,
  unit?: string,
): Option<Filled<Fallback, number>> {
  const range = `${least} to ${most}${unit === undefined ? '' : ` ${unit}`}`;
  return declare(about, '<n>', range, fallback, (name, given) => {
    const value = given.trim() === '' ? Number.NaN : Number(given);
    if (value >= least && value <= most && (kind === 'number' || Number.isInteger(value))) return value;
    throw new UsageError(`${name} must be a ${kind} from ${range}, not "${given}".`);
  });
}

export function text<Fallback extends string | null>(
  about: string,
  placeholder: string,
  fallback: Fallback,
): Option<Filled<Fallback, string>> {
  return declare(about, placeholder, null, fallback, (_, given) => given);
}

export function choice<const Name extends string, Fallback extends Name | null>(
  about: string,
  names: readonly Name[],
  fallback: Fallback,
): Option<Filled<Fallback, Name>> {
  return declare(about, '<name>', names.join(', '), fallback, (name, given) => readName(name, given, names));
}

/** More names than these are not listed in the help. */
const maxListed = 20;

/** Names separated by commas, each once; `all` stands for all of them. */
export function choices<const Name extends string, Fallback extends 'all' | Name | null>(
  about: string,
  names: readonly Name[],
  fallback: Fallback,
): Option<Filled<Fallback, readonly Name[]>> {
  const range = names.length > maxListed ? null : [...names, 'all'].join(', ');
  return declare(about, '<names>', range, fallback, (name, given) =>
    given === 'all' ? names : [...new Set(given.split(',').map((each) => readName(name, each, names)))],
  );
}

/** An option that is given or not, and takes no value. */
export function toggle(about: string): Option<boolean> {
  return { about, placeholder: null, range: null, fallback: null, read: () => true };
}

function declare<Fallback, Value>(
  about: string,
  placeholder: string,
  range: string | null,
  fallback: Fallback,
  read: (name: string, text: string) => Value,
): Option<Filled<Fallback, Value>> {
  const option: Option<Value> = {
    about,
    placeholder,
    range,
    fallback: fallback === null ? null : String(fallback),
    read,
  };
  return option as Option<Filled<Fallback, Value>>;
}

function readName<Name extends string>(option: string, given: string, names: readonly Name[]): Name {
  const name = names.find((candidate) => candidate === given);
  if (name !== undefined) return name;
  throw new UsageError(
    `${option} does not accept "${given}". ${didYouMean(given, names) ?? `Valid: ${names.join(', ')}.`}`,
  );
}

/**
 * Suggests the known name that is most similar to the given one. Returns null if it has more than one typo in three
 * letters, or three in all.
 */
export function didYouMean(given: string, names: readonly string[]): string | null {
  if (names.length === 0) return null;
  const nearest = closest(given, [...names]);
  return distance(given, nearest) <= Math.min(3, Math.floor(given.length / 3)) ? `Did you mean ${nearest}?` : null;
}

interface Parsed<Table extends OptionTable> {
  readonly values: ValuesOf<Table>;
  /** Names of the options that the user gave. */
  readonly given: ReadonlySet<string>;
  readonly positionals: readonly string[];
}

const help = toggle('show this help');

/** Throws a {@link UsageError}, or a {@link HelpRequest} for `--help`. */
export function parseOptions<const Table extends OptionTable>(
  args: readonly string[],
  table: Table,
  helpText: () => string,
  maxPositionals = 0,
): Parsed<Table> {
  const known: OptionTable = { ...table, help };
  const options = Object.fromEntries(
    Object.entries(known).map(([name, { placeholder }]) => [
      name,
      { type: placeholder === null ? ('boolean' as const) : ('string' as const) },
    ]),
  );
  const { tokens, positionals } = parseArgs({
    args: [...args],
    options,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const texts = new Map<string, string>();
  for (const token of tokens) if (token.kind === 'option') texts.set(token.name, textOf(token, known));
  if (texts.has('help')) throw new HelpRequest(helpText());
  const unexpected = positionals[maxPositionals];
  if (unexpected !== undefined) throw new UsageError(`Unexpected argument "${unexpected}".`);
  const values = Object.entries(table).map(([name, option]) => {
    const given = texts.get(name) ?? option.fallback;
    if (option.placeholder === null) return [name, texts.has(name)];
    return [name, given === null ? null : option.read(`--${name}`, given)];
  });
  // Each value was read by its own option.
  return { values: Object.fromEntries(values) as ValuesOf<Table>, given: new Set(texts.keys()), positionals };
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function textOf({ name, rawName, value, inlineValue }: OptionToken, known: OptionTable): string {
  const option = Object.hasOwn(known, name) ? known[name] : undefined;
  if (option === undefined) {
    const names = Object.keys(known).map((each) => `--${each}`);
    throw new UsageError(`Unknown option ${rawName}. ${didYouMean(rawName, names) ?? ''}`.trimEnd());
  }
  if (option.placeholder === null) {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value.`);
    return '';
  }
  // A negative number is a value. If it is out of range, the option says so.
  const isNextOption = inlineValue === false && value !== undefined && /^-[^\d.]/.test(value);
  if (value !== undefined && !isNextOption) return value;
  throw new UsageError(`${rawName} needs a value${option.range === null ? '' : `: ${option.range}`}.`);
}

const helpWidth = 110;

/** A line or more for each option, with `--help` as the last if the list is complete. */
export function describeOptions(table: OptionTable, isComplete = true): string {
  const entries = Object.entries(isComplete ? { ...table, help } : table).map(
    ([name, option]): readonly [string, string] => {
      const limits = [option.range, option.fallback === null ? null : `default: ${option.fallback}`];
      const shown = limits.filter((each) => each !== null).join('; ');
      const head = `--${name}${option.placeholder === null ? '' : ` ${option.placeholder}`}`;
      return [head, `${option.about}${shown === '' ? '' : ` (${shown})`}`];
    },
  );
  return describeNames(entries);
}

/** Names with their meanings, in two columns. */
export function describeNames(entries: readonly (readonly [string, string])[]): string {
  const width = Math.max(...entries.map(([name]) => name.length));
  const indent = `\n${' '.repeat(width + 4)}`;
  return entries
    .map(([name, about]) => `  ${name.padEnd(width)}  ${wrap(about, helpWidth - width - 4).join(indent)}`)
    .join('\n');
}

function wrap(words: string, width: number): string[] {
  const lines = [''];
  for (const word of words.split(' ')) {
    const last = lines.at(-1) ?? '';
    if (last !== '' && last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}

interface CommandOptions {
  readonly args?: readonly string[];
  /** Changes a text before it is printed. */
  readonly shown?: (text: string) => string;
}

/** Runs a command. Help is printed. A wrong command line ends it with code 2, any other error with code 1. */
export async function runCommand(
  run: (args: readonly string[]) => Promise<void>,
  { args = process.argv.slice(2), shown = (text) => text }: CommandOptions = {},
): Promise<void> {
  try {
    await run(args);
  } catch (error) {
    const message = shown((error as Error).message);
    if (error instanceof HelpRequest) return void process.stdout.write(message);
    const isUsage = error instanceof UsageError;
    process.stderr.write(`${message}${isUsage ? ' See --help.' : ''}\n`);
    process.exitCode = isUsage ? 2 : 1;
  }
}
