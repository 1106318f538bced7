/** What the connections of one subject may do together, on all nodes: how many there may be, how much they may send, and how much they may keep. */
import type { Payer } from '../relay/relay.js';
import { Ledger, type Spend } from './ledger.js';
import { TokenBucket } from './token-bucket.js';

export interface SubjectLimits {
  /** Connections of one subject. */
  readonly maxConnectionsPerSubject: number;
  /** Publications a second of one subject. */
  readonly publishRate: number;
  /** Bytes of publications a second of one subject. */
  readonly publishBytesRate: number;
  /** Other commands a second of one subject. */
  readonly commandRate: number;
  /** Topics with history that one subject may begin in an hour by publishing to them. */
  readonly newTopicsPerHour: number;
  /** Bytes that one subject may publish to topics with history in an hour. */
  readonly historyBytesPerHour: number;
  /** Subscriptions of one connection: as many commands more may come at once, because who comes back subscribes to everything anew. */
  readonly maxSubscriptions: number;
}

/** So many seconds' worth may come at once: a client that was silent may catch up. */
const burstSeconds = 2;

const hourSeconds = 3_600;

/** For each of these in its answer, a `history` or `subscribe` counts as one command more (PROTOCOL.md section 7). */
const replyBytesPerCommand = 65_536;

/**
 * Commands that may be too many before their connection is closed: a thousand, or what may be sent in ten seconds. A fifth of what may be
 * sent in a second is forgiven each second, ten at least: a client that keeps to its rate finds out by refusals what others have left.
 */
const maxRefusals = 1_000;
const maxRefusalsSeconds = 10;
const forgivenPerSecond = 10;
const forgivenShare = 0.2;

/** What the nodes know of each other's subjects. */
export interface Shared {
  readonly spend: Spend;
  /** Whether all nodes together have no more than `most` connections of it, with `count` at this one. Rejects where that cannot be asked. */
  admit(name: string, count: number, most: number): Promise<boolean>;
  report(counts: readonly (readonly [name: string, count: number])[]): void;
}

/** Why a command is not carried out now. */
export interface Refusal {
  readonly limit: 'rate' | 'historyBytes' | 'newTopics';
  /** When it can come again: a whole number of milliseconds, at least 1. */
  readonly retryAfterMs: number;
}

/** `undecided`: the other nodes are being asked; ask again once {@link Subject.onceDecided} calls. Nothing was counted. */
export type Admission = 'admitted' | 'undecided' | Refusal;

export class Subject implements Payer {
  connections = 0;
  /** Null if there is one node. */
  readonly #ledger: Ledger | null;
  readonly #publications: TokenBucket;
  readonly #bytes: TokenBucket;
  readonly #commands: TokenBucket;
  readonly #newTopics: TokenBucket;
  readonly #historyBytes: TokenBucket;
  readonly #refusals: TokenBucket;

  constructor(
    readonly name: string,
    limits: SubjectLimits,
    shared: Shared | null,
    nowMs: number,
  ) {
    const ledger = shared === null ? null : new Ledger(shared.spend);
    const bucket = (what: string, perSecond: number, burst: number): TokenBucket =>
      ledger === null
        ? new TokenBucket(perSecond, burst, nowMs)
        : ledger.open({ name: `${what}:${name}`, perSecond, burst }, nowMs);
    const perSecond = (what: string, rate: number, more = 0): TokenBucket =>
      bucket(what, rate, rate * burstSeconds + more);
    const perHour = (what: string, amount: number): TokenBucket => bucket(what, amount / hourSeconds, amount);
    this.#publications = perSecond('publications', limits.publishRate);
    this.#bytes = perSecond('bytes', limits.publishBytesRate);
    this.#commands = perSecond('commands', limits.commandRate, limits.maxSubscriptions);
    this.#newTopics = perHour('newTopics', limits.newTopicsPerHour);
    this.#historyBytes = perHour('historyBytes', limits.historyBytesPerHour);
    this.#ledger = ledger;
    // What other nodes have taken is known by the time the first command is judged.
    ledger?.tellNow();
    const rate = limits.publishRate + limits.commandRate;
    this.#refusals = new TokenBucket(
      Math.max(forgivenPerSecond, rate * forgivenShare),
      Math.max(maxRefusals, rate * maxRefusalsSeconds),
      nowMs,
    );
  }

  /** Counts a publication of so many bytes if it is admitted. `isKept`: its topic keeps history. */
  admitPublication(bytes: number, isKept: boolean, nowMs: number): Admission {
    if (!this.#publications.has(1, nowMs) || !this.#bytes.has(bytes, nowMs)) {
      return refusal('rate', Math.max(this.#publications.delayMs(1, nowMs), this.#bytes.delayMs(bytes, nowMs)));
    }
    if (isKept && !this.#historyBytes.has(bytes, nowMs)) {
      return refusal('historyBytes', this.#historyBytes.delayMs(bytes, nowMs));
    }
    if (this.#publications.asksFirst(1) || this.#bytes.asksFirst(bytes)) return 'undecided';
    if (isKept && this.#historyBytes.asksFirst(bytes)) return 'undecided';
    this.#publications.charge(1, nowMs);
    this.#bytes.charge(bytes, nowMs);
    if (isKept) this.#historyBytes.charge(bytes, nowMs);
    return 'admitted';
  }

  /** The same for any other command. */
  admitCommand(nowMs: number): Admission {
    if (this.#commands.has(1, nowMs) && this.#commands.asksFirst(1)) return 'undecided';
    return this.admitUnreadable(nowMs);
  }

  /** The same for a command that could not be read: it cannot wait until other nodes have answered. */
  admitUnreadable(nowMs: number): Exclude<Admission, 'undecided'> {
    if (!this.#commands.has(1, nowMs)) return refusal('rate', this.#commands.delayMs(1, nowMs));
    this.#commands.charge(1, nowMs);
    return 'admitted';
  }

  /** Calls once when an answer of the other nodes has come, or cannot come. */
  onceDecided(resume: () => void): void {
    this.#ledger?.onceHeard(resume);
  }

  /** Whether it may publish to topics that nobody has published to. */
  mayBeginTopic(nowMs: number): boolean {
    return this.#newTopics.has(1, nowMs);
  }

  refuseTopic(nowMs: number): Refusal {
    return refusal('newTopics', this.#newTopics.delayMs(1, nowMs));
  }

  onTopicBegun(): void {
    this.#newTopics.charge(1, performance.now());
  }

  onPublicationsRead(bytes: number): void {
    this.#commands.charge(Math.floor(bytes / replyBytesPerCommand), performance.now());
  }

  /** Whether it may be refused once more and stay. */
  mayBeRefused(nowMs: number): boolean {
    return this.#refusals.take(1, nowMs);
  }

  /** Whether it has no connection here, and would begin again as it is now. */
  isIdle(nowMs: number): boolean {
    if (this.connections > 0) return false;
    const rates = [this.#publications, this.#bytes, this.#commands, this.#refusals];
    return [...rates, this.#newTopics, this.#historyBytes].every((bucket) => bucket.isForgettable(nowMs));
  }
}

function refusal(limit: Refusal['limit'], delayMs: number): Refusal {
  return { limit, retryAfterMs: Math.max(1, Math.ceil(delayMs)) };
}

export class Subjects {
  readonly #limits: SubjectLimits;
  readonly #shared: Shared | null;
  readonly #subjects = new Map<string, Subject>();

  /** `shared`: null where there is one node. */
  constructor(limits: SubjectLimits, shared: Shared | null) {
    this.#limits = limits;
    this.#shared = shared;
  }

  /** Subjects that are remembered. */
  get size(): number {
    return this.#subjects.size;
  }

  named(name: string): Subject {
    let subject = this.#subjects.get(name);
    if (subject === undefined) {
      subject = new Subject(name, this.#limits, this.#shared, performance.now());
      this.#subjects.set(name, subject);
    }
    return subject;
  }

  /** Counts one more connection; null where there are too many. While the other nodes cannot be asked, this one counts alone. */
  async join(name: string): Promise<Subject | null> {
    const most = this.#limits.maxConnectionsPerSubject;
    const subject = this.named(name);
    if (subject.connections >= most) return null;
    subject.connections++;
    if (this.#shared === null) return subject;
    const isIn = await this.#shared.admit(name, subject.connections, most).catch(() => true);
    if (isIn) return subject;
    subject.connections--;
    this.#shared.report([[name, subject.connections]]);
    return null;
  }

  /** Counts one connection less. What it has spent is remembered until it would have it again: who comes back at once has no more. */
  leave(subject: Subject): void {
    subject.connections--;
    this.#shared?.report([[subject.name, subject.connections]]);
  }

  /** Says how many there are here. To be called from time to time. */
  report(): void {
    const present = [...this.#subjects.values()].filter(({ connections }) => connections > 0);
    this.#shared?.report(present.map(({ name, connections }) => [name, connections]));
  }

  /** Forgets those that left and have nothing to pay back. To be called from time to time. */
  forgetIdle(nowMs: number): void {
    for (const [name, subject] of this.#subjects) if (subject.isIdle(nowMs)) this.#subjects.delete(name);
  }
}
