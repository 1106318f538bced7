/**
 * The part of a load that one generator process has: some of the subscribing and some of the publishing connections.
 * Connections are assigned to the shards in turn. A stream belongs to the shard of the connection that publishes it.
 */
import { createHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { Target } from '@fanfare/kit/broker-url';
import { longestUs, newHistogram, recordUs } from '@fanfare/kit/histogram';
import { nowUs } from '@fanfare/kit/stamp';
import { encodeIntoCompressedBase64 as encode, type Histogram } from 'hdr-histogram-js';
import type { Protocols } from '../protocols/protocol.js';
import { type ProtocolName, protocols } from '../protocols/protocols.js';
import { chooser, weightOf } from './choice.js';
import { ClientConnection } from './client-connection.js';
import { Connection } from './connection.js';
import { forEachAtOnce } from './limit.js';
import type { Member } from './member.js';
import { Publisher } from './publisher.js';
import { Reception, type ReceptionCounts } from './reception.js';
import { noTurns, sumTurns, type Turns } from './turns.js';
import { backPrefix, publisherPrefix, stalledPrefix } from './validity.js';
import {
  type Disturbance,
  meanFanout,
  publisherOfStream,
  streamsOf,
  topicName,
  topicOfStream,
  topicsOfSubscriber,
  type Workload,
} from './workload.js';

/** The maximum number of pending connections of all shards. The accept queue of uSockets holds 512. */
const maxConnecting = 256;

const connectTimeoutMs = 20_000;

/** About how many latencies per second a generator measures. Each measurement takes time from the generator. */
const latenciesPerSecond = 20_000;

/** The longest sleep of a generator that waits for its next burst: it must also read received data. */
const maxSleepMs = 1;

export interface ShardPlan {
  readonly workload: Workload;
  readonly targets: readonly Target[];
  readonly protocol: ProtocolName;
  /** Whether the typed client is used instead of bare sockets. */
  readonly isTyped: boolean;
  readonly shard: number;
  readonly shards: number;
  readonly localAddress: string | null;
}

export interface Progress {
  readonly published: number;
  readonly deliveries: number;
  readonly connected: number;
}

export interface RunReport {
  /** The publications of each stream since the beginning. */
  readonly published: Float64Array;
  readonly slipP99Us: number;
  /** Share of bursts that were sent when the next one was already due. */
  readonly lateShare: number;
  /** The delay of the event loop, 99th percentile, in milliseconds. */
  readonly loopLagP99Ms: number;
  readonly turns: Turns;
}

export interface SettleReport {
  readonly counts: ReceptionCounts;
  /** Encoded histograms, of µs. */
  readonly latency: string;
  /** Until each publication was answered; empty if the protocol does not answer in turn. */
  readonly answers: string;
  readonly handshake: string;
  /** How long after the disturbance each connection was back, in µs. */
  readonly back: string;
  /** Gaps and resets that the typed client reported. */
  readonly reportedLosses: number;
  /** The number of broken connections by reason. */
  readonly failures: Readonly<Record<string, number>>;
  readonly connected: number;
  /** Subscribing connections that are not connected but should be. */
  readonly away: number;
}

interface Outlet {
  readonly isConnected: boolean;
  add(topic: string, stream: number, sequence: number, plannedUs: number): void;
  flush(): void;
}

export class Shard {
  readonly #reception: Reception;
  readonly #members = new Map<number, Member>();
  readonly #outlets = new Map<number, Outlet>();
  readonly #published: Float64Array;
  readonly #handshake: Histogram = newHistogram();
  readonly #answers: Histogram = newHistogram();
  readonly #back: Histogram = newHistogram();
  readonly #failures = new Map<string, number>();
  /** Subscribers that stopped reading on purpose. The server is expected to disconnect them. */
  readonly #stalled = new Set<number>();
  #reportedLosses = 0;
  #publishedCount = 0;
  /** Publications of protocols that answer them. */
  #acknowledgedCount = 0;

  constructor(private readonly plan: ShardPlan) {
    const { workload } = plan;
    const perSecond = workload.perSecond * meanFanout(workload);
    this.#reception = new Reception(workload, Math.max(1, Math.ceil(perSecond / latenciesPerSecond)));
    this.#published = new Float64Array(streamsOf(workload));
  }

  get progress(): Progress {
    return {
      published: this.#publishedCount,
      deliveries: this.#reception.deliveries,
      connected: this.#connected,
    };
  }

  get #connected(): number {
    let connected = 0;
    for (const member of this.#members.values()) if (member.isConnected) connected++;
    return connected;
  }

  async open(): Promise<void> {
    const { workload, shards } = this.plan;
    const atOnce = Math.max(1, Math.floor(maxConnecting / shards));
    await forEachAtOnce(this.#own(workload.subscribers), atOnce, (subscriber) => this.#join(subscriber, true));
    if (workload.perSecond > 0) {
      await forEachAtOnce(this.#ownPublishers(), atOnce, (publisher) => this.#openOutlet(publisher));
    }
  }

  /**
   * Publishes for `seconds`. A measured run also causes the disturbances. A silent one keeps the schedule but sends
   * nothing.
   */
  async run(startUs: number, seconds: number, isMeasured: boolean, isSilent = false): Promise<RunReport> {
    this.#reception.isMeasuring = isMeasured;
    if (isMeasured) {
      this.#reception.latency.reset();
      this.#answers.reset();
    }
    const lag = monitorEventLoopDelay({ resolution: 1 });
    lag.enable();
    const endUs = startUs + seconds * 1_000_000;
    const disturbances = isMeasured
      ? this.plan.workload.disturbances.map((disturbance) => this.#disturb(disturbance, startUs, endUs))
      : [];
    const [pace, ...turns] = await Promise.all([this.#publish(startUs, endUs, isSilent), ...disturbances]);
    lag.disable();
    return {
      ...pace,
      published: this.#published,
      loopLagP99Ms: lag.percentile(99) / 1e6,
      turns: sumTurns(turns),
    };
  }

  /** Waits until all publications have arrived, or until nothing more arrives. */
  async settle(published: Float64Array, timeoutMs: number): Promise<SettleReport> {
    let seen = -1;
    let lastNewsAt = performance.now();
    // Subscribers that were lost for good receive nothing more.
    const isHopeful = (): boolean =>
      this.#members.size + this.#unanswered > 0 && performance.now() - lastNewsAt < timeoutMs;
    while ((this.#unanswered > 0 || !this.#reception.hasAll(published)) && isHopeful()) {
      const news = this.#reception.deliveries + this.#acknowledgedCount;
      if (news !== seen) lastNewsAt = performance.now();
      seen = news;
      await delay(5);
    }
    if (this.#unanswered > 0) this.#failures.set('a publication was not acknowledged', this.#unanswered);
    return {
      counts: this.#reception.conclude(published),
      latency: encode(this.#reception.latency),
      answers: encode(this.#answers),
      handshake: encode(this.#handshake),
      back: encode(this.#back),
      reportedLosses: this.#reportedLosses,
      failures: Object.fromEntries(this.#failures),
      connected: this.#connected,
      away: [...this.#own(this.plan.workload.subscribers)].filter((subscriber) => this.#isMissed(subscriber)).length,
    };
  }

  get #protocols(): Protocols {
    return protocols[this.plan.protocol];
  }

  get #unanswered(): number {
    return this.#protocols.publisher.isAcknowledged ? this.#publishedCount - this.#acknowledgedCount : 0;
  }

  #isMissed(subscriber: number): boolean {
    return !this.#stalled.has(subscriber) && this.#members.get(subscriber)?.isConnected !== true;
  }

  /** The numbers that belong to this shard. */
  *#own(all: number): Iterable<number> {
    const { shard, shards } = this.plan;
    for (let number = shard; number < all; number += shards) yield number;
  }

  /** The last shard comes first, so that a single publisher and a single subscriber are in different processes. */
  get #publisherTurn(): number {
    return this.plan.shards - 1 - this.plan.shard;
  }

  *#ownPublishers(): Iterable<number> {
    const { shards, workload } = this.plan;
    for (let number = this.#publisherTurn; number < workload.publishers; number += shards) yield number;
  }

  #targetOf(number: number, servers: readonly number[] | null): Target {
    const { targets } = this.plan;
    const chosen = servers === null ? targets : servers.map((server) => targets[server % targets.length] as Target);
    // Consecutive numbers belong to different shards. The sum lets each shard reach all servers.
    return chosen[Math.floor(number / this.plan.shards + this.plan.shard) % chosen.length] as Target;
  }

  /** `isKnown`: the subscriber joins before the first publication, so it must get all of them. */
  async #join(subscriber: number, isKnown: boolean): Promise<void> {
    const { workload, isTyped, localAddress } = this.plan;
    const target = this.#targetOf(subscriber, workload.subscriberServers);
    const topics = topicsOfSubscriber(subscriber, workload).map((topic) => topicName(topic, workload));
    const startedUs = nowUs();
    this.#reception.begin(subscriber, isKnown);
    const onPublication = (bytes: Uint8Array, at: number): void => this.#reception.record(subscriber, bytes, at);
    const onFailure = (error: Error): void => this.#lost(subscriber, error);
    const member = isTyped
      ? await ClientConnection.open({ ...this.#clientOptions(target), onPublication, onFailure }, topics)
      : await Connection.open({
          protocol: this.#protocols.subscriber,
          target,
          localAddress,
          topics,
          onPublication,
          onFailure,
          timeoutMs: connectTimeoutMs,
        });
    recordUs(this.#handshake, nowUs() - startedUs);
    this.#members.set(subscriber, member);
  }

  async #openOutlet(publisher: number): Promise<void> {
    const { workload, isTyped, localAddress } = this.plan;
    const target = this.#targetOf(publisher, workload.publisherServers);
    const onCutOff = (error: Error): void => this.#count(`${publisherPrefix}${error.message}`);
    const onFailure = (error: Error): void => {
      this.#outlets.delete(publisher);
      onCutOff(error);
    };
    if (isTyped) {
      const options = { ...this.#clientOptions(target), onPublication: () => {}, onFailure, onCutOff };
      const connection = await ClientConnection.open(options, []);
      this.#outlets.set(publisher, connection);
      return;
    }
    const protocol = this.#protocols.publisher;
    let outlet: Publisher | null = null;
    const connection = await Connection.open({
      protocol,
      target,
      localAddress,
      topics: [],
      onPublication: () => {},
      onAcknowledged: (answers) => {
        this.#acknowledgedCount += outlet?.answered(answers) ?? 0;
      },
      onFailure,
      timeoutMs: connectTimeoutMs,
    });
    outlet = new Publisher(connection, {
      protocol,
      target,
      publicationBytes: workload.publicationBytes,
      onAnswered: (plannedUs) => {
        if (this.#reception.isMeasuring) recordUs(this.#answers, nowUs() - plannedUs);
      },
    });
    this.#outlets.set(publisher, outlet);
  }

  #clientOptions(target: Target) {
    const { publicationBytes } = this.plan.workload;
    const encoding = this.plan.protocol === 'json' ? ('json' as const) : ('msgpack' as const);
    return {
      target,
      encoding,
      publicationBytes,
      timeoutMs: connectTimeoutMs,
      onReportedLoss: () => void this.#reportedLosses++,
    };
  }

  #lost(subscriber: number, error: Error): void {
    this.#members.get(subscriber)?.close();
    this.#members.delete(subscriber);
    // Unless it has stalled, publications that it misses from now on count as lost.
    this.#count(this.#stalled.has(subscriber) ? `${stalledPrefix}${error.message}` : error.message);
  }

  #count(failure: string): void {
    this.#failures.set(failure, (this.#failures.get(failure) ?? 0) + 1);
  }

  /** Open loop: sends bursts on schedule, even if earlier ones have not arrived. */
  async #publish(
    startUs: number,
    endUs: number,
    isSilent: boolean,
  ): Promise<Pick<RunReport, 'slipP99Us' | 'lateShare'>> {
    const { workload } = this.plan;
    const own = new Set(this.#ownPublishers());
    const all = Array.from({ length: this.#published.length }, (_, stream) => stream);
    const streams = all.filter((stream) => own.has(publisherOfStream(stream, workload)));
    if (streams.length === 0) {
      await sleepUntil(endUs);
      return { slipP99Us: 0, lateShare: 0 };
    }
    const next = chooser(streams, workload);
    const { isJoined } = this.#protocols.publisher;
    const weigh = (some: readonly number[]): number => some.reduce((sum, each) => sum + weightOf(each, workload), 0);
    const share = weigh(streams) / weigh(all);
    const intervalUs = (workload.burst * 1_000_000) / (workload.perSecond * share);
    const slips = createHistogram({ lowest: 1, highest: 3_600_000_000, figures: 3 });
    // Shards do not all send at the same moment.
    const firstUs = startUs + (intervalUs * this.#publisherTurn) / this.plan.shards;
    let late = 0;
    let bursts = 0;
    for (;;) {
      const dueUs = firstUs + bursts * intervalUs;
      if (dueUs >= endUs) break;
      await sleepUntil(dueUs);
      const now = nowUs();
      // Sends all due bursts together, as a busy publisher would.
      for (let at = dueUs; at <= now && at < endUs; at += intervalUs) {
        slips.record(Math.max(1, Math.round(now - at)));
        if (now - at >= intervalUs) late++;
        bursts++;
        for (let index = 0; index < workload.burst && !isSilent; index++) this.#send(next(), at);
        // Several bursts could be too large for a frame.
        if (isJoined) this.#flush();
      }
      this.#flush();
    }
    // At a low rate, the last burst is sent long before the end.
    await sleepUntil(endUs);
    return { slipP99Us: slips.percentile(99), lateShare: late / Math.max(1, bursts) };
  }

  #flush(): void {
    for (const outlet of this.#outlets.values()) outlet.flush();
  }

  #send(stream: number, plannedUs: number): void {
    const { workload } = this.plan;
    const outlet = this.#outlets.get(publisherOfStream(stream, workload));
    // Without a connection, nothing is published.
    if (outlet?.isConnected !== true) return;
    const sequence = this.#published[stream] as number;
    this.#published[stream] = sequence + 1;
    this.#publishedCount++;
    outlet.add(topicName(topicOfStream(stream, workload), workload), stream, sequence, plannedUs);
  }

  async #disturb(disturbance: Disturbance, startUs: number, endUs: number): Promise<Turns> {
    switch (disturbance.name) {
      case 'storm': {
        await sleepUntil(startUs + disturbance.atSeconds * 1_000_000);
        const those = this.#someMembers(disturbance.share);
        for (const subscriber of those) this.#leave(subscriber);
        await this.#comeBack(those, nowUs());
        return noTurns;
      }
      case 'absence': {
        await sleepUntil(startUs + disturbance.atSeconds * 1_000_000);
        const those = this.#someMembers(disturbance.share);
        for (const subscriber of those) this.#leave(subscriber);
        await delay(disturbance.seconds * 1_000);
        await this.#comeBack(those, nowUs());
        return noTurns;
      }
      case 'stall': {
        await sleepUntil(startUs + disturbance.atSeconds * 1_000_000);
        for (const subscriber of this.#someMembers(disturbance.share)) {
          this.#stalled.add(subscriber);
          this.#reception.end(subscriber);
          this.#members.get(subscriber)?.pause();
        }
        return noTurns;
      }
      case 'churn':
        return await this.#eachInTime(disturbance.connectionsPerSecond, startUs, endUs, async (subscriber) => {
          this.#leave(subscriber);
          await this.#rejoin(subscriber, nowUs());
        });
      case 'resubscribe':
        return await this.#eachInTime(disturbance.subscriptionsPerSecond, startUs, endUs, async (subscriber, round) => {
          const topics = topicsOfSubscriber(subscriber, this.plan.workload);
          const topic = topics[round % topics.length] as number;
          this.#reception.interrupt(subscriber, topic);
          const member = this.#members.get(subscriber);
          try {
            await member?.unsubscribe([topicName(topic, this.plan.workload)]);
            // Publications in transit while it unsubscribed do not count for the new subscription.
            this.#reception.interrupt(subscriber, topic);
            await member?.subscribe([topicName(topic, this.plan.workload)]);
          } catch (error) {
            this.#lost(subscriber, error as Error);
          }
        });
    }
  }

  /** Calls `work` for each subscriber in turn. `perSecond` is the rate of all shards together. Calls may overlap. */
  async #eachInTime(
    perSecond: number,
    startUs: number,
    endUs: number,
    work: (subscriber: number, round: number) => Promise<void>,
  ): Promise<Turns> {
    const intervalUs = (this.plan.shards * 1_000_000) / perSecond;
    const subscribers = [...this.#members.keys()];
    const busy = new Map<number, Promise<void>>();
    let done = 0;
    for (let at = 0; subscribers.length > 0; at++) {
      await sleepUntil(startUs + at * intervalUs);
      if (busy.size >= maxConnecting) await Promise.race(busy.values());
      if (nowUs() >= endUs) break;
      const subscriber = subscribers[at % subscribers.length] as number;
      if (busy.has(subscriber) || !this.#members.has(subscriber)) continue;
      done++;
      const round = Math.floor(at / subscribers.length);
      busy.set(
        subscriber,
        work(subscriber, round).finally(() => busy.delete(subscriber)),
      );
    }
    await Promise.all(busy.values());
    return { planned: Math.ceil((endUs - startUs) / intervalUs), done };
  }

  /** Each shard selects its members among the first subscribers, so all shards together select exactly the share. */
  #someMembers(share: number): number[] {
    const end = Math.round(this.plan.workload.subscribers * share);
    return [...this.#members.keys()].filter((subscriber) => subscriber < end);
  }

  #leave(subscriber: number): void {
    const member = this.#members.get(subscriber);
    member?.leave();
    if (member === undefined || member.recovers) return;
    this.#members.delete(subscriber);
    this.#reception.end(subscriber);
  }

  async #comeBack(subscribers: readonly number[], sinceUs: number): Promise<void> {
    const atOnce = Math.max(1, Math.floor(maxConnecting / this.plan.shards));
    await forEachAtOnce(subscribers, atOnce, (subscriber) => this.#rejoin(subscriber, sinceUs));
  }

  /**
   * Retries until it is connected, as a client would. It gives up after a long time, because the server may be gone.
   */
  async #rejoin(subscriber: number, sinceUs: number): Promise<void> {
    for (let leftUs = longestUs; leftUs > 0; leftUs = sinceUs + longestUs - nowUs()) {
      try {
        const member = this.#members.get(subscriber);
        if (member === undefined) await this.#join(subscriber, false);
        else await member.comeBack(Math.ceil(leftUs / 1_000));
        recordUs(this.#back, nowUs() - sinceUs);
        return;
      } catch (error) {
        this.#count(`${backPrefix}${(error as Error).message}`);
        await delay(Math.random() * 200);
      }
    }
  }
}

const sleeper = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

async function sleepUntil(timeUs: number): Promise<void> {
  await nextTurn();
  for (let leftUs = timeUs - nowUs(); leftUs > 0; leftUs = timeUs - nowUs()) {
    if (leftUs > 20_000) await delay(leftUs / 1_000 - 15);
    // A timer is a millisecond late, and spinning would take CPU time from the measured processes.
    else Atomics.wait(sleeper, 0, 0, Math.min(leftUs / 1_000, maxSleepMs / 2));
    await nextTurn();
  }
}
