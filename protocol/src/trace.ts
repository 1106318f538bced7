/**
 * The trace of a publication (OpenTelemetry). Nothing on the wire carries it: publishers (from `published`) and
 * subscribers compute the ids from the publication's position. docs/observability.md defines them.
 */
import type { Position } from './position.js';

/** The ids of a publication's trace and of its first span, as W3C Trace Context writes them. */
export interface TraceIds {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** The id of the span `publish`, which is the parent of all others: 16 hexadecimal digits. */
  readonly spanId: string;
}

/**
 * The hash whose low 24 bits decide: they are the first of the trailing 56 bits, which OpenTelemetry takes for
 * randomness.
 */
const decidingHash = 2;
const decisionBits = 24;

/** The ids of the trace of the publication at this position of the topic. */
export function traceOf(topic: string, { epoch, offset }: Position): TraceIds {
  const hashes = Array.from({ length: 6 }, (_, index) =>
    finish(addOffset(hashOf(index, topic, epoch), offset))
      .toString(16)
      .padStart(8, '0'),
  );
  return { traceId: hashes.slice(0, 4).join(''), spanId: hashes.slice(4).join('') };
}

/** Chooses the publications that are traced at a ratio. Samplers with the same ratio choose the same publications. */
export class TraceSampler {
  /**
   * A publication is traced if its 24 deciding bits are not below this: the threshold of OpenTelemetry, cut to 24 bits.
   */
  readonly #threshold: number;

  /** `ratio`: from 0, none, to 1, all. */
  constructor(ratio: number) {
    const accepted = ratio === 0 ? 0 : Math.max(1, Math.round(ratio * 2 ** decisionBits));
    this.#threshold = 2 ** decisionBits - accepted;
  }

  /** The threshold as in `tracestate`, `ot=th:…`: hexadecimal digits without trailing zeros. */
  get threshold(): string {
    const digits = this.#threshold.toString(16).padStart(decisionBits / 4, '0');
    return digits.replace(/0+$/, '') || '0';
  }

  /** Whether the publication at this position is traced. */
  isSampled(topic: string, { epoch, offset }: Position): boolean {
    return this.#isChosen(hashOf(decidingHash, topic, epoch), offset);
  }

  /** The traced offsets of `count` publications from `first` on; null if none is traced. */
  offsets(topic: string, { epoch, offset: first }: Position, count: number): readonly number[] | null {
    const start = hashOf(decidingHash, topic, epoch);
    let chosen: number[] | null = null;
    for (let offset = first; offset < first + count; offset++) {
      if (!this.#isChosen(start, offset)) continue;
      chosen ??= [];
      chosen.push(offset);
    }
    return chosen;
  }

  #isChosen(start: number, offset: number): boolean {
    return (finish(addOffset(start, offset)) & (2 ** decisionBits - 1)) >= this.#threshold;
  }
}

/** FNV-1a of the topic, a space, the epoch and a space, all ASCII; each of the six hashes starts elsewhere. */
function hashOf(index: number, topic: string, epoch: string): number {
  let hash = 0x811c9dc5 + index;
  for (let at = 0; at < topic.length; at++) hash = step(hash, topic.charCodeAt(at));
  hash = step(hash, 0x20);
  for (let at = 0; at < epoch.length; at++) hash = step(hash, epoch.charCodeAt(at));
  return step(hash, 0x20);
}

/** FNV-1a of the offset as eight bytes, big endian, appended to the earlier hash. */
function addOffset(start: number, offset: number): number {
  const high = Math.floor(offset / 2 ** 32);
  let hash = start;
  for (let shift = 24; shift >= 0; shift -= 8) hash = step(hash, (high >>> shift) & 0xff);
  for (let shift = 24; shift >= 0; shift -= 8) hash = step(hash, (offset >>> shift) & 0xff);
  return hash;
}

function step(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}

/** Spreads each bit over all: the finalizer of MurmurHash3. */
function finish(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
