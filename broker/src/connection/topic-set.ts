/**
 * The topics of one connection: null, one topic, or a Set of several. Most connections have one topic, and a Set takes
 * more memory than the rest of the connection.
 */
import type { Topic } from '@fanfare/protocol';

export type TopicSet = null | Topic | Set<Topic>;

export function sizeOf(topics: TopicSet): number {
  if (topics === null) return 0;
  return typeof topics === 'string' ? 1 : topics.size;
}

export function has(topics: TopicSet, topic: Topic): boolean {
  return topics instanceof Set ? topics.has(topic) : topics === topic;
}

/** The set with `topic`. Do not use the argument afterwards. */
export function withTopic(topics: TopicSet, topic: Topic): TopicSet {
  if (topics === null || topics === topic) return topic;
  return typeof topics === 'string' ? new Set([topics, topic]) : topics.add(topic);
}

/** The set without `topic`. Do not use the argument afterwards. */
export function withoutTopic(topics: TopicSet, topic: Topic): TopicSet {
  if (!(topics instanceof Set)) return topics === topic ? null : topics;
  topics.delete(topic);
  return topics;
}

export function toList(topics: TopicSet): readonly Topic[] {
  if (topics === null) return [];
  return typeof topics === 'string' ? [topics] : [...topics];
}
