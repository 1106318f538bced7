/**
 * Local delivery: encode a run of publications once for each encoding in use, and hand that frame to every subscriber
 * here. Event streams get the run as events, which are encoded once too.
 */
import type { Frame, NodeCodec, Position, Run, Topic } from '@fanfare/protocol';
import { EventRun } from './event-run.js';
import { type Audience, groupOf, type Registry, type StreamSubscriber } from './registry.js';

/** Where frames go. */
interface Outlet {
  /** Sends pending data that must precede the next frames. Called before a frame is made: both may use one buffer. */
  sendEarlier(): void;
  /** Hands one frame to every socket of a group. */
  broadcast(group: string, frame: Frame, isBinary: boolean): void;
}

interface FanoutCounters {
  /** Publications times subscribers. */
  deliveries: number;
  /** Bytes of frames times subscribers. */
  bytesOut: number;
  observeFanoutSeconds(seconds: number): void;
}

/** Publications that were handed to the subscribers here, for {@link DeliveryTracer}. */
export interface DeliveredRun {
  readonly topic: Topic;
  readonly epoch: string;
  /** The offsets of the traced publications. */
  readonly offsets: readonly number[];
  /** The number of publications in the run, traced or not. */
  readonly count: number;
  /** From receiving the run to handing it to all sockets, by performance.now(). */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly subscribers: number;
  /** Bytes of frames times subscribers. */
  readonly bytes: number;
  readonly wasMissed: boolean;
}

/** Traces publications, as this file needs it. */
export interface DeliveryTracer {
  /** The offsets of the run that are traced; null if none are. */
  sampled(topic: Topic, position: Position, count: number): readonly number[] | null;
  delivered(run: DeliveredRun): void;
}

/** One run in this many is timed: for a small run, measuring costs as much as everything else here. */
const timedRuns = 16;

export class Fanout {
  #runs = 0;
  /** Where {@link #emit} sends. */
  #group = '';
  #subscribers = 0;
  #isBinary = false;
  readonly #eventRun = new EventRun();

  constructor(
    private readonly registry: Registry,
    private readonly codecs: readonly NodeCodec[],
    private readonly outlet: Outlet,
    private readonly counters: FanoutCounters,
    private readonly tracer: DeliveryTracer | null = null,
  ) {}

  /**
   * Returns false if nobody here is subscribed. Do not call it inside a WebSocket handler: replies of that handler must
   * leave first.
   */
  deliver(topic: Topic, position: Position | null, run: Run, wasMissed = false): boolean {
    const audience = this.registry.audienceOf(topic);
    if (audience === undefined) return false;
    if (this.tracer !== null && position !== null) {
      const offsets = this.tracer.sampled(topic, position, run.count);
      if (offsets !== null) {
        const startedAt = performance.now();
        const bytesBefore = this.counters.bytesOut;
        this.#encodeAndSend(audience, topic, position, run);
        const endedAt = performance.now();
        const bytes = this.counters.bytesOut - bytesBefore;
        const subscribers = audience.size;
        const { epoch } = position;
        if (this.#runs++ % timedRuns === 0) this.counters.observeFanoutSeconds((endedAt - startedAt) / 1_000);
        const times = { startedAt, endedAt };
        this.tracer.delivered({ topic, epoch, offsets, count: run.count, subscribers, bytes, wasMissed, ...times });
        return true;
      }
    }
    if (this.#runs++ % timedRuns !== 0) this.#encodeAndSend(audience, topic, position, run);
    else {
      const startedAt = performance.now();
      this.#encodeAndSend(audience, topic, position, run);
      this.counters.observeFanoutSeconds((performance.now() - startedAt) / 1000);
    }
    return true;
  }

  /** Notifies the subscribers of a topic that they may have missed publications. */
  notifyGap(topic: Topic, position: Position | null): void {
    this.#notify(
      topic,
      (codec) => codec.gap(topic, position),
      (stream) => stream.onGap(topic, position),
    );
  }

  /** Notifies the subscribers of a topic that it has another history. */
  notifyReset(topic: Topic, position: Position): void {
    this.#notify(
      topic,
      (codec) => codec.reset(topic, position),
      (stream) => stream.onReset(topic, position),
    );
  }

  subscribersOf(topic: Topic): number {
    return this.registry.audienceOf(topic)?.size ?? 0;
  }

  #notify(topic: Topic, frameOf: (codec: NodeCodec) => Frame, notifyStream: (stream: StreamSubscriber) => void): void {
    const audience = this.registry.audienceOf(topic);
    if (audience === undefined) return;
    this.outlet.sendEarlier();
    for (const codec of this.codecs) if (this.#aim(codec, topic, audience)) this.#emit(frameOf(codec));
    const { streams } = audience;
    // A copy: a held poll leaves when it is notified.
    if (streams instanceof Set) for (const stream of [...streams]) notifyStream(stream);
    else if (streams !== null) notifyStream(streams);
  }

  #encodeAndSend(audience: Audience, topic: Topic, position: Position | null, run: Run): void {
    this.outlet.sendEarlier();
    for (const codec of this.codecs) {
      if (!this.#aim(codec, topic, audience)) continue;
      this.counters.deliveries += run.count * this.#subscribers;
      codec.publications(topic, position, run, this.#emit);
    }
    if (audience.streams !== null) this.#sendEvents(audience.streams, topic, position, run);
  }

  #sendEvents(
    streams: StreamSubscriber | ReadonlySet<StreamSubscriber>,
    topic: Topic,
    position: Position | null,
    run: Run,
  ): void {
    const events = this.#eventRun.begin(topic, position, run);
    // Held polls leave the Set during the loop. That is safe: a Set does not skip or repeat the others.
    if (streams instanceof Set) for (const stream of streams) stream.onRun(events);
    else (streams as StreamSubscriber).onRun(events);
  }

  /** Chooses who gets the next frames. Returns false if nobody uses this encoding. */
  #aim(codec: NodeCodec, topic: Topic, audience: Audience): boolean {
    this.#subscribers = audience[codec.encoding];
    if (this.#subscribers === 0) return false;
    this.#group = groupOf(topic, codec.encoding);
    this.#isBinary = codec.isBinary;
    return true;
  }

  // One function for all runs: a function for each would be garbage for each publication.
  readonly #emit = (frame: Frame): void => {
    this.counters.bytesOut += frame.length * this.#subscribers;
    this.outlet.broadcast(this.#group, frame, this.#isBinary);
  };
}
