/**
 * The partitions of topics. A topic belongs to one of them for the life of a prefix, whatever Redis holds it. All names
 * of a partition have the same hash tag, so a Redis Cluster keeps them in one slot.
 */
import type { Topic } from '@fanfare/protocol';

export const minPartitions = 16;
export const maxPartitions = 1_024;
export const defaultPartitions = 64;

/** The number of slots of a Redis Cluster (Redis Cluster specification). */
const slotCount = 16_384;

export class Partitions {
  /** The tag of each partition, without braces. */
  readonly #tags: readonly string[];

  /** `count`: from {@link minPartitions} to {@link maxPartitions}. All nodes of a broker need the same number. */
  constructor(readonly count: number) {
    this.#tags = evenTags(count);
  }

  of(topic: Topic): number {
    return hashOf(topic) % this.count;
  }

  tagOf(partition: number): string {
    return this.#tags[partition] as string;
  }

  slotOf(partition: number): number {
    return slotOf(this.tagOf(partition));
  }
}

/**
 * Short tags whose slots are evenly spaced: each is in the middle half of one of `count` equal ranges. So masters with
 * equal ranges of slots, as `redis-cli --cluster create` makes them, get equal numbers of partitions.
 */
function evenTags(count: number): readonly string[] {
  const range = slotCount / count;
  const tags = new Array<string>(count);
  for (let number = 0, found = 0; found < count; number++) {
    const tag = number.toString(36);
    const slot = slotOf(tag);
    const partition = Math.floor(slot / range);
    const place = slot / range - partition;
    if (place < 0.25 || place > 0.75 || tags[partition] !== undefined) continue;
    tags[partition] = tag;
    found++;
  }
  return tags;
}

/** FNV-1a with the final mixing of MurmurHash3, so that topics with a common prefix spread. Not negative. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The slot of a tag: CRC-16/XMODEM modulo the number of slots (Redis Cluster specification). */
export function slotOf(tag: string): number {
  let crc = 0;
  for (let at = 0; at < tag.length; at++) {
    crc ^= tag.charCodeAt(at) << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : ((crc << 1) ^ 0x1021) & 0xffff;
  }
  return (crc & 0xffff) % slotCount;
}
