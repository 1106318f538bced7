/** Options of scenarios: declared once, read from flags and from plans, explained in the help. */
import { readInteger, readNumber, UsageError } from '../flags.js';

/** Limits for an option's numbers. */
export interface Range {
  readonly least: number;
  readonly most: number;
  /** Where that comes from, to be said behind the number. */
  readonly why: string;
}

export interface Option<Value> {
  readonly about: string;
  /** The default, as it would be written. */
  readonly fallback: string;
  /** Whether it may be several values, separated by commas. */
  readonly isList: boolean;
  /** Throws a {@link UsageError} that says what is wrong; `name` is that of the option, as whoever gave it wrote it. */
  read(name: string, text: string): Value;
  /** The option on which it depends what this one may be; of several values of that one, the lowest counts. */
  readonly relation?: { readonly to: string; range(lowest: number, name: string): Range };
}

export type OptionTable = Readonly<Record<string, Option<unknown>>>;

export type ValuesOf<Table extends OptionTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Option<infer Value> ? Value : never;
};

export function integer(about: string, fallback: number, least: number, most: number): Option<number> {
  return {
    about,
    fallback: String(fallback),
    isList: false,
    read: (name, text) => readInteger(name, text, least, most),
  };
}

export function number(about: string, fallback: number, least: number, most: number): Option<number> {
  return {
    about,
    fallback: String(fallback),
    isList: false,
    read: (name, text) => readNumber(name, text, least, most),
  };
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
    isList: true,
    read: (name, text) => text.split(',').map((each) => readInteger(name, each, least, most)),
  };
}

/** At most as much as another option, less so much. */
export function within<Value>(option: Option<Value>, to: string, less = 0): Option<Value> {
  const minus = less === 0 ? '' : ` minus ${less}`;
  return {
    ...option,
    about: `${option.about}; at most --${to}${minus}`,
    relation: {
      to,
      range: (lowest, name) => ({ least: Number.NEGATIVE_INFINITY, most: lowest - less, why: `${name}${minus}` }),
    },
  };
}

/** A share of what another option counts, at least one of them. */
export function shareOf(of: string, about: string, fallback: number): Option<number> {
  return {
    ...number(about, fallback, 0, 1),
    relation: {
      to: of,
      range: (lowest, name) => {
        // Half of one is rounded up to one.
        return { least: Number((1 / lowest).toPrecision(2)), most: 1, why: `one of ${lowest}, ${name}` };
      },
    },
  };
}

/**
 * Values for all options of a table; what is not given has its default, as far as other options leave room for it. What is
 * given and not known, or goes beyond that, is refused. `mark` is what stands before names where they were given.
 */
export function readOptions<Table extends OptionTable>(
  table: Table,
  given: Readonly<Record<string, string>>,
  mark = '--',
): ValuesOf<Table> {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(table, name)) continue;
    const known = Object.keys(table).map((each) => mark + each);
    throw new UsageError(`There is no option ${mark}${name} here, only ${known.join(', ')}.`);
  }
  const values = Object.fromEntries(
    Object.entries(table).map(([name, option]) => [name, option.read(mark + name, given[name] ?? option.fallback)]),
  );
  for (const [name, { relation }] of Object.entries(table)) {
    if (relation === undefined) continue;
    const range = relation.range(Math.min(...numbersOf(values[relation.to])), mark + relation.to);
    const wrong = numbersOf(values[name]).find((value) => value < range.least || value > range.most);
    if (wrong === undefined) continue;
    const isLow = wrong < range.least;
    const bound = isLow ? range.least : range.most;
    if (given[name] !== undefined) {
      const must = `must be at ${isLow ? 'least' : 'most'} ${bound} (${range.why})`;
      throw new UsageError(`${mark}${name} ${must}, not ${wrong}.`);
    }
    values[name] = table[name]?.read(mark + name, String(bound));
  }
  // Each value was read by its own option.
  return values as ValuesOf<Table>;
}

function numbersOf(value: unknown): readonly number[] {
  return [value].flat().map(Number);
}
