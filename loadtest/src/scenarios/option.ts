/** Options of scenarios: declared once, read from flags and from plans, explained in the help. Each takes several values. */
import { readInteger, readNumber, UsageError } from '@fanfare/kit/flags';

/** Limits for an option's numbers. */
export interface Range {
  readonly least: number;
  readonly most: number;
  /** Where that comes from, to be said behind the number. */
  readonly why: string;
}

export interface Option {
  readonly about: string;
  /** The default, as it would be written. */
  readonly fallback: string;
  /** Throws a {@link UsageError} that says what is wrong; `name` is that of the option, as whoever gave it wrote it. */
  read(name: string, text: string): number;
  /** The option on which it depends what this one may be. */
  readonly relation?: { readonly to: string; range(other: number, name: string): Range };
}

export type OptionTable = Readonly<Record<string, Option>>;

export type ValuesOf<Table extends OptionTable> = { readonly [Name in keyof Table]: number };

type Fallback = number | readonly number[];

export function integer(about: string, fallback: Fallback, least: number, most: number): Option {
  return { about, fallback: String(fallback), read: (name, text) => readInteger(name, text, least, most) };
}

export function number(about: string, fallback: Fallback, least: number, most: number): Option {
  return { about, fallback: String(fallback), read: (name, text) => readNumber(name, text, least, most) };
}

/** At most as much as another option, less so much. */
export function within(option: Option, to: string, less = 0): Option {
  const minus = less === 0 ? '' : ` minus ${less}`;
  return {
    ...option,
    about: `${option.about}; at most --${to}${minus}`,
    relation: {
      to,
      range: (other, name) => ({ least: Number.NEGATIVE_INFINITY, most: other - less, why: `${name}${minus}` }),
    },
  };
}

/** A share of what another option counts, at least one of them. */
export function shareOf(of: string, about: string, fallback: number): Option {
  return {
    ...number(about, fallback, 0, 1),
    relation: {
      to: of,
      range: (all, name) => {
        // Half of one is rounded up to one.
        return { least: Number((1 / all).toPrecision(2)), most: 1, why: `one of ${all}, ${name}` };
      },
    },
  };
}

/**
 * A value for each option of a table, once for each combination of those that commas separate, the first option outermost. What is not
 * given has its default, as far as other options leave room for it. What is given and not known, or goes beyond that, is refused.
 * `mark` is what stands before names where they were given.
 */
export function readOptions<Table extends OptionTable>(
  table: Table,
  given: Readonly<Record<string, string>>,
  mark = '--',
): readonly ValuesOf<Table>[] {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(table, name)) continue;
    const known = Object.keys(table).map((each) => mark + each);
    throw new UsageError(`There is no option ${mark}${name} here, only ${known.join(', ')}.`);
  }
  let combinations: readonly Readonly<Record<string, number>>[] = [{}];
  for (const [name, option] of Object.entries(table)) {
    const texts = (given[name] ?? option.fallback).split(',');
    const values = new Set(texts.map((text) => option.read(mark + name, text)));
    combinations = combinations.flatMap((others) => [...values].map((value) => ({ ...others, [name]: value })));
  }
  const fit = (name: string, { relation }: Option, values: Readonly<Record<string, number>>): number => {
    const value = values[name] ?? 0;
    if (relation === undefined) return value;
    const { least, most, why } = relation.range(values[relation.to] ?? 0, mark + relation.to);
    const bound = value < least ? least : value > most ? most : value;
    if (bound === value || given[name] === undefined) return bound;
    throw new UsageError(
      `${mark}${name} must be at ${value < least ? 'least' : 'most'} ${bound} (${why}), not ${value}.`,
    );
  };
  return combinations.map((values) => {
    const fitted = Object.entries(table).map(([name, option]) => [name, fit(name, option, values)] as const);
    // Each value was read by its own option.
    return Object.fromEntries(fitted) as ValuesOf<Table>;
  });
}
