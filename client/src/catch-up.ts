/** Where a subscription begins: with a part of the topic's history, and then what is published. Each publication once, none left out. */
import type { HistoryReply, Position } from '@fanfare/protocol';
import { FanfareError, ReplyError } from './errors.js';
import { refuseUnknown } from './options.js';
import { type Check, checkItem } from './schemas.js';
import type { Reader } from './subscription.js';

export interface SubscribeOptions {
  /**
   * Begin with what came after this position, the last one that the application knows. If the history does not reach back to it, an
   * event `gap` or `reset` tells so. Null is as good as nothing.
   */
  readonly since?: Position | null | undefined;
  /** If there is no `since`: begin with the last so many publications, or as many as the history has. */
  readonly last?: number | undefined;
}

/** Throws `invalidOption`. Null if the subscription begins with what is published from now on. */
export function beginningOf(options: SubscribeOptions): SubscribeOptions | null {
  refuseUnknown('subscribe()', options, ['since', 'last']);
  const { since = null, last } = options;
  const invalid = (message: string): FanfareError => new FanfareError('invalidOption', { message });
  if (since !== null && !(typeof since.epoch === 'string' && Number.isInteger(since.offset) && since.offset >= 0)) {
    throw invalid('since must be a position as publications have it: { epoch, offset }.');
  }
  if (last !== undefined && !(Number.isInteger(last) && last >= 1)) {
    throw invalid(`last must be an integer of 1 or more, not ${last}.`);
  }
  return since === null && last === undefined ? null : options;
}

export interface CatchUpParts {
  readonly topic: string;
  readonly check: Check | null;
  /** Reads history forward. Rejects with a FanfareError. */
  readonly read: (since: Position, limit: number) => Promise<HistoryReply>;
  /** Resolves a while later. */
  readonly pause: () => Promise<void>;
}

/** Most publications that one read asks for. */
const pageLimit = 1_000;

/**
 * Hands a reader what the history has up to `join`, from where on it gets what everybody gets; null if the topic keeps no history.
 * `newest`: the offset of the newest publication, which everybody may be about to get. Answers whether it has missed nothing since `since`.
 */
export async function catchUp(
  { since = null, last = 0 }: SubscribeOptions,
  join: Position | null,
  newest: number,
  reader: Reader,
  { topic, check, read, pause }: CatchUpParts,
): Promise<boolean> {
  // Not at once: whoever subscribes has had no chance to listen yet.
  await null;
  const miss = (position: Position | null): false => {
    if (since !== null) reader.gap({ reason: 'history', position });
    return false;
  };
  if (join === null) {
    reader.fail(new ReplyError('noHistory', `${topic} keeps no history to begin with.`, false));
    return miss(null);
  }
  const { epoch } = join;
  if (since !== null && (since.epoch !== epoch || since.offset > join.offset)) {
    reader.reset({ position: join });
    return false;
  }
  let isWhole = since !== null;
  let { offset } = since ?? { offset: Math.max(0, newest - last) };
  while (offset < join.offset && reader.state.name !== 'unsubscribed') {
    let page: HistoryReply;
    try {
      page = await read({ epoch, offset }, Math.min(pageLimit, join.offset - offset));
    } catch (cause) {
      const error = cause as FanfareError;
      if (error instanceof ReplyError && error.retryable) await pause();
      else if (error.code !== 'timeout') {
        reader.fail(error);
        return miss(join);
      }
      continue;
    }
    const { position, first, publications } = page;
    // Of another epoch an event tells that is held.
    if (position.epoch !== epoch || first === null || first > join.offset) return miss(join);
    if (first > offset + 1) isWhole = miss({ epoch, offset: first - 1 });
    offset = first - 1;
    for (const item of publications.slice(0, join.offset - offset)) {
      offset++;
      const checked = await checkItem(item, topic, check);
      if ('error' in checked) reader.fail(checked.error);
      else reader.deliver({ topic, data: checked.data, position: { epoch, offset } });
    }
  }
  return isWhole;
}
