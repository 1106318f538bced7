/** What a broker says of topics over HTTP: `GET /v1/topics` and `GET /v1/topics/{topic}`. */
import type { Position } from '@fanfare/protocol';
import { type Broker, getJson } from './broker.js';
import { Failure } from './failure.js';

export interface TopicInfo {
  readonly topic: string;
  readonly level: 'fast' | 'recoverable' | 'durable';
  /** Null if the topic keeps no history, or has none yet. */
  readonly position: Position | null;
  readonly subscribers: number;
  readonly nodes: { readonly asked: number; readonly answered: number };
}

interface Answer extends Omit<TopicInfo, 'position'> {
  readonly epoch?: string | null;
  readonly offset?: number | null;
}

export async function topicInfo(broker: Broker, topic: string): Promise<TopicInfo> {
  const path = `/v1/topics/${encodeURIComponent(topic)}`;
  const { epoch, offset, ...rest } = (await getJson(broker, path)) as Answer;
  if (rest.nodes?.asked === undefined) throw new Failure(`${path} is not answered by a Fanfare node: check the URL.`);
  const hasPosition = typeof epoch === 'string' && typeof offset === 'number';
  return { ...rest, position: hasPosition ? { epoch, offset } : null };
}

interface Page {
  readonly topics: readonly string[];
  readonly next: string | null;
}

/** The topics with a history whose names begin with `prefix`. Each once, in no particular order. */
export async function* topicsOf(broker: Broker, prefix: string): AsyncGenerator<string> {
  const seen = new Set<string>();
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({
      limit: '1000',
      ...(prefix === '' ? {} : { prefix }),
      ...(cursor === null ? {} : { cursor }),
    });
    const page = (await getJson(broker, `/v1/topics?${query}`)) as Page;
    for (const topic of page.topics) {
      if (seen.has(topic)) continue;
      seen.add(topic);
      yield topic;
    }
    cursor = page.next;
  } while (cursor !== null);
}
