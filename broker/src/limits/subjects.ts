/** Limits of a subject, for all its connections on all nodes: number of connections, rates, and what it may store. */
import type { Payer } from '../relay/relay.js';
import { Ledger, type Spend } from './ledger.js';
import { TokenBucket } from './token-bucket.js';

interface SubjectLimits {
  /** Connections of one subject. */
  readonly maxConnectionsPerSubject: number;
  /** Publications of one subject per second. */
  readonly publishRate: number;
  /** Bytes of publications of one subject per second. */
  readonly publishBytesRate: number;
  /** Other commands of one subject per second. */
  readonly commandRate: number;
  /** Topics with history that one subject may start per hour by publishing to them. */
  readonly newTopicsPerHour: number;
  /** Bytes that one subject may publish to topics with history per hour. */
  readonly historyBytesPerHour: number;
  /**
   * Subscriptions of one connection. Added to the burst of commands, because a reconnecting client subscribes to all
   * its topics.
   */
  readonly maxSubscriptions: number;
}

/** The burst of a rate, in seconds of that rate: a client that was silent may catch up. */
const burstSeconds = 2;

const hourSeconds = 3_600;

/** A `history` or `subscribe` costs one more command for each of these bytes in its reply (PROTOCOL.md section 7). */
const replyBytesPerCommand = 65_536;

/**
 * Refusals before a connection is closed: a thousand, or ten seconds of the rate if that is more. Each second, a fifth
 * of the rate is forgiven, and at least ten. Clients need refusals to find out which rate the other connections of
 * their subject leave.
 */
const maxRefusals = 1_000;
const maxRefusalsSeconds = 10;
const forgivenPerSecond = 10;
const forgivenShare = 0.2;

/** What the nodes share about subjects. */
export interface Shared {
  readonly spend: Spend;
  /**
   * Whether all nodes together have at most `most` connections of the subject, if this node has `count`. Rejects if
   * Redis cannot be reached.
   */
  admit(name: string, count: number, most: number): Promise<boolean>;
  report(counts: readonly (readonly [name: string, count: number])[]): void;
}

/** The limit that refuses a command. */
export interface ExceededLimit {
  readonly limit: 'rate' | 'historyBytes' | 'newTopics';
  /** When to retry, in whole milliseconds, at least 1. */
  readonly retryAfterMs: number;
}

/** `undecided`: Redis is being asked, and nothing was counted. Ask again when {@link Subject.onceDecided} calls. */
export type Admission = 'admitted' | 'undecided' | ExceededLimit;

export class Subject implements Payer {
  connections = 0;
  /** HTTP requests whose body is not complete. */
  openRequests = 0;
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
    // Ask now, so that the answer is there when the first command arrives.
    ledger?.reportNow();
    const rate = limits.publishRate + limits.commandRate;
    this.#refusals = new TokenBucket(
      Math.max(forgivenPerSecond, rate * forgivenShare),
      Math.max(maxRefusals, rate * maxRefusalsSeconds),
      nowMs,
    );
  }

  /** Counts a publication if it is admitted. `isKept`: its topic keeps history. */
  admitPublication(bytes: number, isKept: boolean, nowMs: number): Admission {
    if (!this.#publications.has(1, nowMs) || !this.#bytes.has(bytes, nowMs)) {
      return exceeded('rate', Math.max(this.#publications.delayMs(1, nowMs), this.#bytes.delayMs(bytes, nowMs)));
    }
    if (isKept && !this.#historyBytes.has(bytes, nowMs)) {
      return exceeded('historyBytes', this.#historyBytes.delayMs(bytes, nowMs));
    }
    if (this.#publications.asksFirst(1) || this.#bytes.asksFirst(bytes)) return 'undecided';
    if (isKept && this.#historyBytes.asksFirst(bytes)) return 'undecided';
    this.#publications.charge(1, nowMs);
    this.#bytes.charge(bytes, nowMs);
    if (isKept) this.#historyBytes.charge(bytes, nowMs);
    return 'admitted';
  }

  /** Counts any other command if it is admitted. */
  admitCommand(nowMs: number): Admission {
    if (this.#commands.has(1, nowMs) && this.#commands.asksFirst(1)) return 'undecided';
    return this.admitUnreadable(nowMs);
  }

  /** Null if it may send a command now. Counts nothing. */
  exceededCommandRate(nowMs: number): ExceededLimit | null {
    return this.#commands.has(1, nowMs) ? null : exceeded('rate', this.#commands.delayMs(1, nowMs));
  }

  /** Counts a command that could not be read. It cannot wait for Redis. */
  admitUnreadable(nowMs: number): Exclude<Admission, 'undecided'> {
    const refusal = this.exceededCommandRate(nowMs);
    if (refusal !== null) return refusal;
    this.#commands.charge(1, nowMs);
    return 'admitted';
  }

  /** Calls `resume` once when Redis has answered or cannot be reached. */
  onceDecided(resume: () => void): void {
    this.#ledger?.onceAnswered(resume);
  }

  /** Whether it may publish to a new topic. */
  mayBeginTopic(nowMs: number): boolean {
    return this.#newTopics.has(1, nowMs);
  }

  refuseTopic(nowMs: number): ExceededLimit {
    return exceeded('newTopics', this.#newTopics.delayMs(1, nowMs));
  }

  onTopicBegun(): void {
    this.#newTopics.charge(1, performance.now());
  }

  onPublicationsRead(bytes: number): void {
    this.#commands.charge(Math.floor(bytes / replyBytesPerCommand), performance.now());
  }

  /** Whether the body of an HTTP request may be parsed: not while it is in debt. */
  maySendBody(nowMs: number): boolean {
    return this.#commands.has(0, nowMs);
  }

  /** The body of an HTTP request was wrong. It costs a command, and one more for each 64 KiB that were parsed. */
  onWrongBody(bytes: number, nowMs: number): void {
    this.#commands.charge(1 + Math.floor(bytes / replyBytesPerCommand), nowMs);
  }

  /** Counts a refusal. Returns false if the connection has to be closed. */
  mayBeRefused(nowMs: number): boolean {
    return this.#refusals.take(1, nowMs);
  }

  /** Whether it has no connection here, and can be forgotten without effect. */
  isIdle(nowMs: number): boolean {
    if (this.connections > 0 || this.openRequests > 0) return false;
    const rates = [this.#publications, this.#bytes, this.#commands, this.#refusals];
    return [...rates, this.#newTopics, this.#historyBytes].every((bucket) => bucket.isForgettable(nowMs));
  }
}

function exceeded(limit: ExceededLimit['limit'], delayMs: number): ExceededLimit {
  return { limit, retryAfterMs: Math.max(1, Math.ceil(delayMs)) };
}

export class Subjects {
  readonly #subjects = new Map<string, Subject>();

  /** `shared`: null for a single node. */
  constructor(
    private readonly limits: SubjectLimits,
    private readonly shared: Shared | null,
  ) {}

  /** How many subjects are kept. */
  get size(): number {
    return this.#subjects.size;
  }

  named(name: string): Subject {
    let subject = this.#subjects.get(name);
    if (subject === undefined) {
      subject = new Subject(name, this.limits, this.shared, performance.now());
      this.#subjects.set(name, subject);
    }
    return subject;
  }

  /**
   * Counts one more connection. Returns null if there are too many. While Redis cannot be reached, this node uses its
   * own count.
   */
  async join(name: string): Promise<Subject | null> {
    const most = this.limits.maxConnectionsPerSubject;
    const subject = this.named(name);
    if (subject.connections >= most) return null;
    subject.connections++;
    if (this.shared === null) return subject;
    const isAdmitted = await this.shared.admit(name, subject.connections, most).catch(() => true);
    if (isAdmitted) return subject;
    subject.connections--;
    this.shared.report([[name, subject.connections]]);
    return null;
  }

  /**
   * Counts one connection less. The budgets are kept until they are full again: reconnecting gives a client nothing
   * more.
   */
  leave(subject: Subject): void {
    subject.connections--;
    this.shared?.report([[subject.name, subject.connections]]);
  }

  /** Reports the connections of this node. Call this from time to time. */
  report(): void {
    const present = [...this.#subjects.values()].filter(({ connections }) => connections > 0);
    this.shared?.report(present.map(({ name, connections }) => [name, connections]));
  }

  /** Forgets subjects without connections whose budgets are full. Call this from time to time. */
  forgetIdle(nowMs: number): void {
    for (const [name, subject] of this.#subjects) if (subject.isIdle(nowMs)) this.#subjects.delete(name);
  }
}
