/** Options of scenarios: declared once, read from flags and from plans, explained in the help. Each takes several values. */
import { readInteger, readNumber, UsageError } from '../flags.js';

export interface Option {
  readonly about: string;
  /** The default, as it would be written. */
  readonly fallback: string;
  /** Throws a {@link UsageError} that says what is wrong. */
  read(flag: string, text: string): number;
}

export type OptionTable = Readonly<Record<string, Option>>;

export type ValuesOf<Table extends OptionTable> = { readonly [Name in keyof Table]: number };

type Fallback = number | readonly number[];

export function integer(about: string, fallback: Fallback, least: number, most: number): Option {
  return { about, fallback: String(fallback), read: (flag, text) => readInteger(flag, text, least, most) };
}

export function number(about: string, fallback: Fallback, least: number, most: number): Option {
  return { about, fallback: String(fallback), read: (flag, text) => readNumber(flag, text, least, most) };
}

/** A value for each option of a table: once for each combination of those that commas separate, the first option outermost. */
export function readOptions<Table extends OptionTable>(
  table: Table,
  given: Readonly<Record<string, string>>,
): readonly ValuesOf<Table>[] {
  for (const name of Object.keys(given)) {
    if (table[name] === undefined) {
      throw new UsageError(`There is no option --${name} here, only --${Object.keys(table).join(', --')}.`);
    }
  }
  let combinations: readonly Readonly<Record<string, number>>[] = [{}];
  for (const [name, option] of Object.entries(table)) {
    const values = new Set((given[name] ?? option.fallback).split(',').map((text) => option.read(name, text)));
    combinations = combinations.flatMap((others) => [...values].map((value) => ({ ...others, [name]: value })));
  }
  // Each value was read by its own option.
  return combinations as readonly ValuesOf<Table>[];
}
