/** What the connections of one subject may do together on this node: how many there may be, and how much they may send. */
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
  /** Subscriptions of one connection: as many commands more may come at once, because who comes back subscribes to everything anew. */
  readonly maxSubscriptions: number;
}

/** So many seconds' worth may come at once: who was silent may catch up. */
const burstSeconds = 2;

export class Subject {
  readonly name: string;
  connections = 0;
  readonly #publications: TokenBucket;
  readonly #bytes: TokenBucket;
  readonly #commands: TokenBucket;

  constructor(name: string, limits: SubjectLimits, nowMs: number) {
    this.name = name;
    const bucket = (perSecond: number, more = 0): TokenBucket =>
      new TokenBucket(perSecond, perSecond * burstSeconds + more, nowMs);
    this.#publications = bucket(limits.publishRate);
    this.#bytes = bucket(limits.publishBytesRate);
    this.#commands = bucket(limits.commandRate, limits.maxSubscriptions);
  }

  /** Whether it may publish so many bytes now; they are counted then. */
  mayPublish(bytes: number, nowMs: number): boolean {
    return this.#publications.take(1, nowMs) && this.#bytes.take(bytes, nowMs);
  }

  /** Whether it may send another command now; it is counted then. */
  mayCommand(nowMs: number): boolean {
    return this.#commands.take(1, nowMs);
  }

  /** Whether it may do all that a new one may. */
  isRested(nowMs: number): boolean {
    return this.#publications.isFull(nowMs) && this.#bytes.isFull(nowMs) && this.#commands.isFull(nowMs);
  }
}

/** Looked at whenever one leaves: more than one, so that they become fewer. */
const lookedAt = 4;

export class Subjects {
  readonly #limits: SubjectLimits;
  readonly #subjects = new Map<string, Subject>();
  /** Those of them without a connection. They are remembered until they are rested: who comes back at once may not send more for it. */
  readonly #absent = new Set<Subject>();

  constructor(limits: SubjectLimits) {
    this.#limits = limits;
  }

  /** Subjects with a connection here. */
  get size(): number {
    return this.#subjects.size - this.#absent.size;
  }

  /** Counts one more connection; null where there are too many. */
  join(name: string): Subject | null {
    const subject = this.#subjects.get(name) ?? new Subject(name, this.#limits, performance.now());
    if (subject.connections >= this.#limits.maxConnectionsPerSubject) return null;
    subject.connections++;
    this.#subjects.set(name, subject);
    this.#absent.delete(subject);
    return subject;
  }

  /** Counts one connection less. */
  leave(subject: Subject, nowMs = performance.now()): void {
    subject.connections--;
    if (subject.connections > 0) return;
    this.#absent.add(subject);
    let looks = lookedAt;
    for (const absent of this.#absent) {
      if (looks-- === 0) return;
      this.#absent.delete(absent);
      if (absent.isRested(nowMs)) this.#subjects.delete(absent.name);
      // Behind all others.
      else this.#absent.add(absent);
    }
  }

  /** Subjects that are remembered, with a connection or without. */
  get remembered(): number {
    return this.#subjects.size;
  }
}
