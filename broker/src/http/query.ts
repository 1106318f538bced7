/** Reads the query of a URL. A parameter that is unknown or occurs twice is an error: a misspelled one has no effect. */
import { explainUnknown } from '../files/nearest.js';
import { Problem } from './problem.js';

export class Query {
  readonly #values = new Map<string, string[]>();

  /** `lists`: the parameters that may occur several times. Throws Problem. */
  constructor(text: string, known: readonly string[], lists: readonly string[] = []) {
    for (const [name, value] of new URLSearchParams(text)) {
      if (!known.includes(name)) {
        const shown = JSON.stringify(name.slice(0, 64));
        throw new Problem('malformed', `The query has the unknown parameter ${shown}; ${explainUnknown(name, known)}`);
      }
      const values = this.#values.get(name) ?? [];
      this.#values.set(name, values);
      values.push(value);
      if (values.length > 1 && !lists.includes(name)) throw new Problem('malformed', `The query has ${name} twice.`);
    }
  }

  /** The value; null if the parameter is missing. */
  text(name: string): string | null {
    return this.#values.get(name)?.[0] ?? null;
  }

  list(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** An integer; null if the parameter is missing. Throws Problem. */
  integer(name: string, least: number, most: number): number | null {
    const text = this.text(name);
    if (text === null) return null;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new Problem('malformed', `${name} must be an integer from ${least} to ${most}.`);
  }

  /** One of some words; null if the parameter is missing. Throws Problem. */
  word<Word extends string>(name: string, words: readonly Word[]): Word | null {
    const text = this.text(name);
    if (text === null) return null;
    const word = words.find((known) => known === text);
    if (word !== undefined) return word;
    throw new Problem('malformed', `${name} must be ${words.map((known) => `"${known}"`).join(' or ')}.`);
  }
}
