/** Topics: what one publishes to and subscribes to, and the grammar that every topic on the wire obeys. */

declare const valid: unique symbol;

/**
 * A topic that obeys the grammar of PROTOCOL.md section 2: segments of `A-Z a-z 0-9 _ -` joined by `.`, at most
 * {@link maxTopicBytes} bytes and {@link maxTopicSegments} segments. Only {@link parseTopic} and {@link TopicReader}
 * make one.
 */
export type Topic = string & { readonly [valid]: true };

/** Longest topic, in bytes (topics are ASCII, so also in characters). A longer one is answered `invalidTopic`. */
export const maxTopicBytes = 200;
/** Maximum number of segments in a topic. The node answers a longer topic with `invalidTopic`. */
export const maxTopicSegments = 16;

const grammar = /* @__PURE__ */ new RegExp(`^[A-Za-z0-9_-]+(?:\\.[A-Za-z0-9_-]+){0,${maxTopicSegments - 1}}$`);

/**
 * The text as a topic, or null if it breaks the grammar. Topics are not rewritten: `News` and `news` are two topics.
 */
export function parseTopic(text: string): Topic | null {
  return text.length <= maxTopicBytes && grammar.test(text) ? (text as Topic) : null;
}

/** One sentence on the rule that `text`, which is no topic, breaks: for the answer `invalidTopic`. */
export function explainInvalidTopic(text: string): string {
  if (text === '') return 'The topic is empty.';
  if (text.length > maxTopicBytes) return `The topic is longer than ${maxTopicBytes} bytes.`;
  const shown = JSON.stringify(text);
  if (/[*>]/.test(text)) return `The topic ${shown} has a wildcard; "*" and ">" are reserved.`;
  if (text.startsWith('$')) return `The topic ${shown} begins with "$", which is reserved for the system.`;
  if (/^\.|\.\.|\.$/.test(text)) return `The topic ${shown} has an empty segment.`;
  if (/[^A-Za-z0-9_.-]/.test(text)) {
    return `The topic ${shown} has a character outside A-Z a-z 0-9 _ - and the "." between segments.`;
  }
  return `The topic ${shown} has more than ${maxTopicSegments} segments.`;
}

/**
 * Reads topics out of frames without making the same string twice: a publisher names few topics many times. It finds a
 * topic in a table of {@link slots} recent ones by a hash of its bytes, and compares each byte. So a hit allocates
 * nothing, and a collision costs only the slot.
 */
export class TopicReader {
  readonly #recent: Array<Topic | undefined> = new Array(slots).fill(undefined);

  /** The topic in `bytes[start, end)`, or null if the bytes break the grammar. */
  read(bytes: Uint8Array, start: number, end: number): Topic | null {
    const length = end - start;
    if (length > maxTopicBytes) return null;
    let hash = 0x811c9dc5;
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
    // The low bits of an FNV-1a hash depend on the low bits of the input alone: fold the high ones in.
    const slot = (hash ^ (hash >>> 15)) & (slots - 1);
    const recent = this.#recent[slot];
    if (recent !== undefined && recent.length === length && sameBytes(recent, bytes, start)) return recent;
    const topic = parseTopic(String.fromCharCode(...bytes.subarray(start, end)));
    if (topic !== null) this.#recent[slot] = topic;
    return topic;
  }
}

const slots = 4096;

function sameBytes(text: string, bytes: Uint8Array, start: number): boolean {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) !== bytes[start + index]) return false;
  }
  return true;
}
