/** The logs of a group of subscribers: how far they are, how late, and the verdict. */
import type { Position } from '@fanfare/client';
import { addFindings, noFindings } from './findings.js';
import { Latency } from './latency.js';
import type { VerifyTopic } from './numbered.js';
import type { LedgerEntries } from './publish-ledger.js';
import type { GroupReport, NumberOfStream, Patience } from './subscriber-group.js';
import { SubscriberLog } from './subscriber-log.js';
import type { TopicOrder } from './topic-order.js';

/** The parts of a topic that subscribers need. */
export interface TopicPlan {
  readonly topic: VerifyTopic;
  readonly streams: readonly number[];
  readonly order: TopicOrder;
}

/** What one subscriber sees of one topic. */
export type TopicView = Pick<SubscriberLog, 'confirm' | 'report' | 'damage' | 'end'> & {
  deliver(data: unknown, position: Position | null): void;
};

export type OnDelivered = (topic: VerifyTopic, plannedUs: number) => void;

interface Awaited {
  readonly targets: NumberOfStream;
  readonly behind: Set<SubscriberLog>;
  onProgress(): void;
  onDone(): void;
}

export class SubscriberLogs {
  readonly #logs: SubscriberLog[] = [];
  readonly #logsOfStream = new Map<number, SubscriberLog[]>();
  readonly latency = new Latency();
  /** The end of the run waits until no log is behind. */
  #awaited: Awaited | null = null;

  /**
   * `published`: the last number that a stream has published so far. `onDelivered`: called for each publication that
   * arrives for the first time, with its planned time.
   */
  constructor(
    private readonly published: (stream: number) => number,
    private readonly onDelivered: OnDelivered = () => {},
  ) {}

  /** `name`: of the subscriber, for examples. */
  add(name: string, { topic, streams, order }: TopicPlan): TopicView {
    const log = new SubscriberLog({ name: `${name}, ${topic},`, streams, published: this.published, order });
    this.#logs.push(log);
    for (const stream of streams) {
      const others = this.#logsOfStream.get(stream);
      if (others === undefined) this.#logsOfStream.set(stream, [log]);
      else others.push(log);
    }
    return {
      confirm: (position) => log.confirm(position),
      damage: (reason) => log.damage(reason),
      end: (reason) => log.end(reason),
      deliver: (data, position) => {
        const plannedUs = log.deliver(data, position);
        if (plannedUs !== null) {
          this.latency.record(plannedUs);
          this.onDelivered(topic, plannedUs);
        }
        this.#look(log);
      },
      report: (event, position) => {
        log.report(event, position);
        this.#look(log);
      },
    };
  }

  reached(stream: number): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (const log of this.#logsOfStream.get(stream) ?? []) lowest = Math.min(lowest, log.reached(stream));
    return lowest;
  }

  async catchUp(targets: NumberOfStream, { idleMs, maxMs }: Patience): Promise<boolean> {
    const behind = new Set(this.#logs.filter((log) => isBehind(log, targets)));
    if (behind.size === 0) return true;
    return await new Promise((resolve) => {
      const finish = (isDone: boolean): void => {
        clearTimeout(idle);
        clearTimeout(limit);
        this.#awaited = null;
        resolve(isDone);
      };
      const idle = setTimeout(() => finish(false), idleMs);
      const limit = setTimeout(() => finish(false), maxMs);
      this.#awaited = { targets, behind, onProgress: () => idle.refresh(), onDone: () => finish(true) };
    });
  }

  judge(ledgers: ReadonlyMap<number, LedgerEntries>): Omit<GroupReport, 'reconnects'> {
    const findings = noFindings();
    const ledgerOf = (stream: number): LedgerEntries => {
      const ledger = ledgers.get(stream);
      if (ledger === undefined) throw new Error(`There is no ledger of stream ${stream}.`);
      return ledger;
    };
    for (const log of this.#logs) addFindings(findings, log.judge(ledgerOf));
    return { findings, latency: this.latency.summary() };
  }

  /** The end of the run no longer waits for this log. */
  #look(log: SubscriberLog): void {
    const awaited = this.#awaited;
    if (awaited === null || !awaited.behind.has(log)) return;
    awaited.onProgress();
    if (isBehind(log, awaited.targets)) return;
    awaited.behind.delete(log);
    if (awaited.behind.size === 0) awaited.onDone();
  }
}

function isBehind(log: SubscriberLog, targets: NumberOfStream): boolean {
  for (const stream of log.streams) {
    if (log.reached(stream) < (targets.get(stream) ?? 0)) return true;
  }
  return false;
}
