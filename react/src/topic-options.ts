/** The options of `useTopic()`, and what the store makes of publications because of them. */
import type { Publication, SubscribeOptions } from '@fanfare/client';
import type { TopicSettings } from './topic-store.js';

/** `useTopic()` returns the last publication. */
export interface LastOptions extends SubscribeOptions {
  readonly list?: undefined;
  readonly reduce?: undefined;
  readonly initial?: undefined;
}

/** `useTopic()` returns a list of publications. */
export interface ListOptions extends SubscribeOptions {
  /** Maximum length of the list, an integer of at least 1. If it is full, the oldest publication leaves it. */
  readonly list: number;
  readonly reduce?: undefined;
  readonly initial?: undefined;
}

/** A publication in a list. */
export type ListItem<Item = Publication> = Item & {
  /** For the property `key` of React. It stays the same, and no other item has it. */
  readonly id: number;
};

/** `useTopic()` returns a state that it builds from the publications. */
export interface ReduceOptions<Item, State> extends SubscribeOptions {
  readonly list?: undefined;
  /**
   * Returns the next state from the previous one and a publication. Must not change the previous state, and must depend
   * only on its arguments: a component keeps its first function until the topic, `since`, `last` or the client changes.
   * If it throws, the error boundary around the component gets the error.
   */
  readonly reduce: (state: State, publication: Item) => State;
  /** The state before the first publication, and after a reset. Components share a store only if it is the same value. */
  readonly initial: State;
}

/** Valid options of a component. */
export interface TopicChoice extends TopicSettings {
  /** Text that is equal if the topic and the options are equal, except for `reduce` and `initial`. */
  readonly key: string;
  readonly reduce: unknown;
}

interface GivenOptions extends SubscribeOptions {
  readonly list?: unknown;
  readonly reduce?: unknown;
  readonly initial?: unknown;
}

const names = ['since', 'last', 'list', 'reduce', 'initial'];

const noItems: readonly ListItem[] = [];
let lastId = 0;

/** Throws a `TypeError` if the options are invalid. The client checks the topic, `since` and `last`. */
export function choiceOf(topic: string, options: GivenOptions): TopicChoice {
  const { since, last, list, reduce, initial } = options;
  for (const name of Object.keys(options)) {
    if (!names.includes(name)) refuse(`there is no option ${JSON.stringify(name)}. Use one of ${names.join(', ')}.`);
  }
  if (list !== undefined && reduce !== undefined) refuse('use list or reduce, not both.');
  if (initial !== undefined && reduce === undefined) refuse('initial has an effect only with reduce.');
  const beginning = { since, last };
  // Invalid values differ from valid ones: their component must not find the store of another one, but get an error.
  const position = since ?? undefined;
  const parts = [topic, typeof position, position?.epoch, position?.offset, last, list, typeof reduce];
  const key = JSON.stringify(parts, (_name, part) =>
    typeof part === 'object' ? part : `${typeof part} ${String(part)}`,
  );
  if (list !== undefined) {
    if (!Number.isInteger(list) || (list as number) < 1) refuse(`list must be an integer of at least 1, not ${list}.`);
    return { key, topic, beginning, reduce, initial: noItems, fold: listOf(list as number) };
  }
  if (reduce !== undefined) {
    if (typeof reduce !== 'function') refuse(`reduce must be a function, not ${typeof reduce}.`);
    const next = reduce as (state: unknown, publication: Publication) => unknown;
    const fold: TopicChoice['fold'] = (state, arrived) => arrived.reduce((each, item) => next(each, item), state);
    return { key, topic, beginning, reduce, initial, fold };
  }
  return { key, topic, beginning, reduce, initial, fold: (_data, arrived) => arrived.at(-1)?.data };
}

function listOf(max: number): TopicChoice['fold'] {
  return (items, arrived) => {
    const added = arrived.slice(-max).map((publication): ListItem => ({ ...publication, id: ++lastId }));
    return [...(items as typeof noItems), ...added].slice(-max);
  };
}

function refuse(reason: string): never {
  throw new TypeError(`useTopic(): ${reason}`);
}
