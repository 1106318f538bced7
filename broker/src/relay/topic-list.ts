/** Lists the topics that have a history in Redis: a walk over the names of its keys, some for each page. */
import { ReplyError, type Topic } from '@fanfare/protocol';
import type { Keys } from './keys.js';
import type { TopicsPage, TopicsRequest } from './relay.js';

/** The maximum steps of a page. Between two steps Redis serves others. */
const maxSteps = 10;

/** The connection, as this file needs it. */
interface ScanningLink {
  scanStreams(
    prefix: string,
    cursor: string,
    count: number,
  ): Promise<{ readonly next: string; readonly keys: readonly Buffer[] }>;
}

export class TopicList {
  constructor(
    private readonly link: ScanningLink,
    private readonly keys: Keys,
  ) {}

  /** See {@link Relay.topics}. A page may be empty, although another one follows: other keys are in the same Redis. */
  async page({ prefix, cursor, limit }: TopicsRequest): Promise<TopicsPage> {
    let at = cursor ?? '0';
    if (!/^\d{1,20}$/.test(at)) throw unknownCursor();
    const topics: Topic[] = [];
    for (let steps = 0; steps < maxSteps && topics.length < limit; steps++) {
      const { next, keys } = await this.link
        .scanStreams(this.keys.topicPattern(prefix), at, limit)
        .catch((error: Error) => {
          throw unavailable(error);
        });
      for (const key of keys) {
        const topic = this.keys.topicOf(key, 0, key.length);
        if (topic !== null) topics.push(topic);
      }
      if (next === '0') return { topics, next: null };
      at = next;
    }
    return { topics, next: at };
  }
}

export function unknownCursor(): ReplyError {
  return new ReplyError('malformed', 'The cursor is unknown. Use "next" of the previous page, or none.');
}

function unavailable({ message }: Error): ReplyError {
  return message.startsWith('NOPERM')
    ? new ReplyError(
        'unavailable',
        'The list is unavailable: the Redis user of the nodes may not run SCAN. Permit it (docs/operations.md).',
      )
    : new ReplyError('unavailable', 'The list is unavailable: Redis does not respond. Retry.');
}
