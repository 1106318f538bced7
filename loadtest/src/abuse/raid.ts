/** One attack under way, in the attackers' process: what all attacks are made of. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Claims, tokenOf } from './keys.js';
import type { Outcome } from './outcome.js';
import { type DialOptions, Peer } from './peer.js';

export interface RaidReport {
  /** What was sent, in the attack's own measure: connections, frames, requests. */
  readonly sent: number;
  readonly outcomes: Readonly<Record<string, number>>;
}

export interface EnterOptions extends Pick<DialOptions, 'from'> {
  /** More header lines. */
  readonly headers?: readonly string[];
}

const tickMs = 10;
const turnMs = 100;

/** What the node is still to say to the last of what was sent. */
const graceMs = 2_000;

/** An attack on a slow machine goes on for so long until each documented answer has been seen. */
const patienceMs = 30_000;

export class Raid {
  sent = 0;
  readonly port: number;
  readonly #endsAtMs: number;
  readonly #answers: readonly Outcome[];
  readonly #outcomes = new Map<Outcome, number>();
  readonly #peers = new Set<Peer>();

  /** `answers`: what the node is documented to answer. */
  constructor(port: number, seconds: number, answers: readonly Outcome[]) {
    this.port = port;
    this.#endsAtMs = performance.now() + seconds * 1_000;
    this.#answers = answers;
  }

  /** The time is up, and the node has given each answer or had time enough to do so. */
  get isOver(): boolean {
    const lateMs = performance.now() - this.#endsAtMs;
    return lateMs >= patienceMs || (lateMs >= 0 && this.#answers.every((answer) => this.#outcomes.has(answer)));
  }

  /** Does nothing until it is over. */
  async wait(): Promise<void> {
    while (!this.isOver) await delay(tickMs);
  }

  /** Connections that have not ended. */
  get open(): number {
    return this.#peers.size;
  }

  /** A connection that has said no more than its `head`. */
  dial(options: DialOptions = {}): Peer {
    const peer = new Peer(this.port, options, (outcome) => this.#see(outcome));
    this.#peers.add(peer);
    void peer.ended.then(() => this.#peers.delete(peer));
    return peer;
  }

  /** An opening handshake. */
  knock({ headers = [], from }: EnterOptions = {}): Peer {
    return this.dial({ head: [...handshake, ...headers], ...(from === undefined ? {} : { from }) });
  }

  /** A connection that was let in; null where it was not. */
  async enter(options: EnterOptions = {}): Promise<Peer | null> {
    const peer = this.knock(options);
    return (await peer.status) === 101 ? peer : null;
  }

  /** A connection with a token of that subject. */
  async enterAs(subject: string, claims: Claims = {}): Promise<Peer | null> {
    return await this.enterWith(tokenOf(subject, claims));
  }

  /** A connection whose token was accepted: before that little may be sent. */
  async enterWith(token: string): Promise<Peer | null> {
    const peer = await this.enter({ headers: [`Authorization: Bearer ${token}`] });
    peer?.send({ type: 'connect' });
    await peer?.greeted;
    return peer;
  }

  /** Acts so many times a second until the time is up. */
  async pace(perSecond: number, act: (n: number) => void): Promise<void> {
    const beganMs = performance.now();
    for (let done = 0; !this.isOver; await delay(tickMs)) {
      for (const due = ((performance.now() - beganMs) * perSecond) / 1_000; done < due; done++) act(done);
    }
  }

  /** So many at once, each again and again, up to ten times a second, until the time is up. */
  async crowd(size: number, act: (member: number, turn: number) => Promise<void>): Promise<void> {
    const members = Array.from({ length: size }, async (_, member) => {
      for (let turn = 0; turn === 0 || !this.isOver; turn++) {
        await act(member, turn);
        await delay(turnMs);
      }
    });
    await Promise.all(members);
  }

  async report(): Promise<RaidReport> {
    const ended = Promise.all([...this.#peers].map(({ ended }) => ended));
    await Promise.race([ended, delay(graceMs)]);
    await Promise.all([...this.#peers].map((peer) => peer.end()));
    return { sent: this.sent, outcomes: Object.fromEntries(this.#outcomes) };
  }

  #see(outcome: Outcome): void {
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
  }
}

export const handshake = [
  'GET /ws HTTP/1.1',
  'Host: localhost',
  'Upgrade: websocket',
  'Connection: Upgrade',
  'Sec-WebSocket-Version: 13',
  `Sec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}`,
] as const;

/** One of many addresses of this machine. */
export function addressOf(n: number): string {
  return `127.0.${1 + (Math.floor(n / 250) % 250)}.${1 + (n % 250)}`;
}

/** The proxies that nodes trust: addresses of this machine, from which nothing else comes. */
export const proxyNetwork = '127.1.0.0/16';

/** One of many of them. */
export function proxyOf(n: number): string {
  return `127.1.${Math.floor(n / 250) % 250}.${1 + (n % 250)}`;
}

/** The header of a proxy that tells of a client somewhere else. */
export function forwardedFor(n: number): string {
  return `X-Forwarded-For: 203.0.${Math.floor(n / 256) % 256}.${n % 256}`;
}
