/** What the connections of one subject may do together, on all nodes: how many there may be, and how much they may send. */
import { SharedBucket, type Spend } from './shared-bucket.js';
import { type Bucket, TokenBucket } from './token-bucket.js';

export interface SubjectLimits {
  /** Connections of one subject. */
  readonly maxConnectionsPerSubject: number;
  /** Publications a second of one subject. */
  readonly publishRate: number;
  /** Bytes of publications a second of one subject. */
  readonly publishBytesRate: number;
  /** Other commands a second of one subject. */
  readonly commandRate: number;
  /** Subscriptions of one connection: as many commands more may come at once, because who comes back subscribes to everything anew. */
  readonly maxSubscriptions: number;
}

/** So many seconds' worth may come at once: who was silent may catch up. */
const burstSeconds = 2;

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
  /** A budget; `burst`: the most that it may hold. */
  budget(name: string, perSecond: number, burst: number): Spend;
  /** Whether all nodes together have no more than `most` connections of it, with `count` at this one. Rejects where that cannot be asked. */
  enter(name: string, count: number, most: number): Promise<boolean>;
  report(counts: readonly (readonly [name: string, count: number])[]): void;
}

export class Subject {
  connections = 0;
  readonly #publications: Bucket;
  readonly #bytes: Bucket;
  readonly #commands: Bucket;
  readonly #refusals: TokenBucket;

  constructor(
    readonly name: string,
    limits: SubjectLimits,
    shared: Shared | null,
    nowMs: number,
  ) {
    const bucket = (what: string, perSecond: number, more = 0): Bucket => {
      const burst = perSecond * burstSeconds + more;
      if (shared === null) return new TokenBucket(perSecond, burst, nowMs);
      return new SharedBucket(shared.budget(`${what}:${name}`, perSecond, burst), perSecond, burst, nowMs);
    };
    this.#publications = bucket('publications', limits.publishRate);
    this.#bytes = bucket('bytes', limits.publishBytesRate);
    this.#commands = bucket('commands', limits.commandRate, limits.maxSubscriptions);
    const rate = limits.publishRate + limits.commandRate;
    this.#refusals = new TokenBucket(
      Math.max(forgivenPerSecond, rate * forgivenShare),
      Math.max(maxRefusals, rate * maxRefusalsSeconds),
      nowMs,
    );
  }

  /** Counts a publication of so many bytes and answers 0; or does not, and answers after how many milliseconds it can come again. */
  admitPublication(bytes: number, nowMs: number): number {
    if (!this.#publications.has(1, nowMs) || !this.#bytes.has(bytes, nowMs)) {
      return wait(Math.max(this.#publications.delayMs(1, nowMs), this.#bytes.delayMs(bytes, nowMs)));
    }
    this.#publications.take(1, nowMs);
    this.#bytes.take(bytes, nowMs);
    return 0;
  }

  /** The same for any other command. */
  admitCommand(nowMs: number): number {
    return this.#commands.take(1, nowMs) ? 0 : wait(this.#commands.delayMs(1, nowMs));
  }

  /** Whether it may be refused once more and stay. */
  mayBeRefused(nowMs: number): boolean {
    return this.#refusals.take(1, nowMs);
  }

  /** Whether it has no connection here, and would begin anew as it is now. */
  isIdle(nowMs: number): boolean {
    if (this.connections > 0) return false;
    const buckets = [this.#publications, this.#bytes, this.#commands, this.#refusals];
    return buckets.every((bucket) => bucket.isFull(nowMs));
  }
}

/** A whole number of milliseconds, and not 0: that would admit. */
function wait(delayMs: number): number {
  return Math.max(1, Math.ceil(delayMs));
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
    const isIn = await this.#shared.enter(name, subject.connections, most).catch(() => true);
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
