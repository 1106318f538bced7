/** Local delivery: encode a run of publications once for each encoding in use, and hand that frame to every subscriber here. */
import type { Frame, NodeCodec, Position, Run, Topic } from '@fanfare/protocol';
import type { Group, Registry } from './registry.js';

/** Hands one frame to every socket of a group. */
export type Broadcast = (group: string, frame: Frame, isBinary: boolean) => void;

export interface FanoutCounters {
  /** Publications times subscribers. */
  deliveries: number;
  /** Bytes of frames times subscribers. */
  bytesOut: number;
  observeFanoutSeconds(seconds: number): void;
}

export class Fanout {
  readonly #registry: Registry;
  readonly #codecs: readonly NodeCodec[];
  readonly #broadcast: Broadcast;
  readonly #counters: FanoutCounters;

  constructor(registry: Registry, codecs: readonly NodeCodec[], broadcast: Broadcast, counters: FanoutCounters) {
    this.#registry = registry;
    this.#codecs = codecs;
    this.#broadcast = broadcast;
    this.#counters = counters;
  }

  /** Answers false where nobody here is subscribed. Not to be called inside a WebSocket handler (design.md section 6). */
  deliver(topic: Topic, position: Position | null, run: Run): boolean {
    const audience = this.#registry.audienceOf(topic);
    if (audience === undefined) return false;
    const startedAt = performance.now();
    for (const codec of this.#codecs) {
      const group = audience[codec.encoding];
      if (group.size === 0) continue;
      this.#counters.deliveries += run.count * group.size;
      codec.publications(topic, position, run, (frame) => this.#send(group, frame, codec.isBinary));
    }
    this.#counters.observeFanoutSeconds((performance.now() - startedAt) / 1000);
    return true;
  }

  /** Tells the subscribers of a topic that they may have missed publications. */
  tellGap(topic: Topic): void {
    const audience = this.#registry.audienceOf(topic);
    if (audience === undefined) return;
    for (const codec of this.#codecs) {
      const group = audience[codec.encoding];
      if (group.size > 0) this.#send(group, codec.gap(topic), codec.isBinary);
    }
  }

  #send(group: Group, frame: Frame, isBinary: boolean): void {
    this.#counters.bytesOut += frame.length * group.size;
    this.#broadcast(group.name, frame, isBinary);
  }
}
