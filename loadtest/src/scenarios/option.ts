/** Options of scenarios. Command lines and plans give them, each as one value or several. */
import { didYouMean, integer, number, type Option, UsageError } from '@fanfare/kit/options';

interface Range {
  readonly least: number;
  readonly most: number;
  /** Where the limit comes from; the error shows it after the number. */
  readonly why: string;
}

export interface ScenarioOption extends Option<number> {
  readonly fallback: string;
  /** The option that limits this one. */
  readonly relation?: { readonly to: string; range(other: number, name: string): Range };
}

export type ScenarioOptions = Readonly<Record<string, ScenarioOption>>;

export type NumbersOf<Table extends ScenarioOptions> = { readonly [Name in keyof Table]: number };

type Fallback = number | readonly number[];

export function count(about: string, fallback: Fallback, least: number, most: number, unit?: string): ScenarioOption {
  return { ...integer(about, fallback, least, most, unit), fallback: String(fallback) };
}

export function amount(about: string, fallback: Fallback, least: number, most: number, unit?: string): ScenarioOption {
  return { ...number(about, fallback, least, most, unit), fallback: String(fallback) };
}

export const subscribers = (fallback: number, most: number): ScenarioOption =>
  count('subscribing connections', fallback, 1, most);
export const rate = (fallback: number, least: number, most: number): ScenarioOption =>
  amount('publications per second', fallback, least, most);
export const bytes = (fallback: Fallback, most: number): ScenarioOption =>
  count('size of the data of a publication', fallback, 40, most, 'bytes');
export const seconds = (fallback: number, least: number, most = 86_400, event = ''): ScenarioOption =>
  amount(`measured time${event}`, fallback, least, most, 'seconds');
export const nodes = (fallback: number, most = 16): ScenarioOption => count('nodes', fallback, 1, most);

/** The maximum is the value of another option, minus a number. */
export function within(option: ScenarioOption, to: string, less = 0): ScenarioOption {
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
export function shareOf(of: string, about: string, fallback: number): ScenarioOption {
  return {
    ...amount(about, fallback, 0, 1),
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
 * A value for each option of a table, once for each combination of the values given, the first option outermost. An
 * option that is not given has its default, limited by its relation. Unknown options, and values beyond a relation, are
 * refused. `mark` precedes the names of options in errors.
 */
export function readOptions<Table extends ScenarioOptions>(
  table: Table,
  given: Readonly<Record<string, string>>,
  mark = '--',
): readonly NumbersOf<Table>[] {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(table, name)) continue;
    const known = Object.keys(table);
    const hint = didYouMean(name, known) ?? `Valid: ${known.map((each) => mark + each).join(', ')}.`;
    throw new UsageError(`Unknown option ${mark}${name}. ${hint}`);
  }
  let combinations: readonly Readonly<Record<string, number>>[] = [{}];
  for (const [name, option] of Object.entries(table)) {
    const texts = (given[name] ?? option.fallback).split(',');
    const values = new Set(texts.map((text) => option.read(mark + name, text)));
    combinations = combinations.flatMap((others) => [...values].map((value) => ({ ...others, [name]: value })));
  }
  const fit = (name: string, { relation }: ScenarioOption, values: Readonly<Record<string, number>>): number => {
    const value = values[name] ?? 0;
    if (relation === undefined) return value;
    const { least, most, why } = relation.range(values[relation.to] ?? 0, mark + relation.to);
    const bound = Math.max(least, Math.min(most, value));
    if (bound === value || given[name] === undefined) return bound;
    throw new UsageError(
      `${mark}${name} must be at ${value < least ? 'least' : 'most'} ${bound} (${why}), not ${value}.`,
    );
  };
  return combinations.map((values) => {
    const fitted = Object.entries(table).map(([name, option]) => [name, fit(name, option, values)] as const);
    // Each value was read by its own option.
    return Object.fromEntries(fitted) as NumbersOf<Table>;
  });
}
