/** Options of scenarios: declared once, read from flags and from plans, explained in the help. */
import { readInteger, readNumber, UsageError } from '../flags.js';

export interface Option<Value> {
  readonly about: string;
  /** The default, as it would be written. */
  readonly fallback: string;
  /** Throws a {@link UsageError} that says what is wrong. */
  read(flag: string, text: string): Value;
}

export type OptionTable = Readonly<Record<string, Option<unknown>>>;

export type ValuesOf<Table extends OptionTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Option<infer Value> ? Value : never;
};

export function integer(about: string, fallback: number, least: number, most: number): Option<number> {
  return { about, fallback: String(fallback), read: (flag, text) => readInteger(flag, text, least, most) };
}

export function number(about: string, fallback: number, least: number, most: number): Option<number> {
  return { about, fallback: String(fallback), read: (flag, text) => readNumber(flag, text, least, most) };
}

/** Separated by commas: a run for each. */
export function integers(
  about: string,
  fallback: readonly number[],
  least: number,
  most: number,
): Option<readonly number[]> {
  return {
    about: `${about}; several, separated by commas: one run for each`,
    fallback: fallback.join(','),
    read: (flag, text) => text.split(',').map((each) => readInteger(flag, each, least, most)),
  };
}

/** Values for all options of a table; what is not given has its default. What is given and not known is refused. */
export function readOptions<Table extends OptionTable>(
  table: Table,
  given: Readonly<Record<string, string>>,
): ValuesOf<Table> {
  for (const name of Object.keys(given)) {
    if (table[name] === undefined) {
      throw new UsageError(`There is no option --${name} here, only --${Object.keys(table).join(', --')}.`);
    }
  }
  const values = Object.entries(table).map(([name, option]) => [
    name,
    option.read(name, given[name] ?? option.fallback),
  ]);
  // Each value was read by its own option.
  return Object.fromEntries(values) as ValuesOf<Table>;
}
