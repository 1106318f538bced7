/** A running attack in the attackers' process: the functions that all attacks use. */

import { setTimeout as delay } from 'node:timers/promises';
import { handshakeLines } from '@fanfare/kit/frames';
import { type RedisReply, redisCommand } from '@fanfare/local-cluster';
import { adminKey, type Claims, tokenOf } from './keys.js';
import type { Outcome } from './outcome.js';
import { type DialOptions, Peer } from './peer.js';

/** The addresses of the nodes under attack. */
export interface Addresses {
  /** Of the nodes, for clients. */
  readonly ports: readonly number[];
  readonly adminPorts: readonly number[];
  /** Null: there is one node, and no Redis. */
  readonly redisPort: number | null;
}

/** What happens to the link between the last node and Redis. */
export type LinkCommand = 'cut' | 'heal';

export interface AttackReport {
  /** The amount that was sent, in the unit of the attack: connections, frames, requests. */
  readonly sent: number;
  readonly outcomes: Readonly<Record<string, number>>;
  /** Forbidden results of the attack, one sentence each. */
  readonly faults: readonly string[];
}

interface PortOption {
  /** Default: that of the nodes whose turn it is. */
  readonly port?: number | undefined;
}

interface EnterOptions extends Pick<DialOptions, 'from'>, PortOption {
  /** More header lines. */
  readonly headers?: readonly string[];
}

/** If a node is slower than its attackers, they would run out of file descriptors. */
const maxOpen = 5_000;

const tickMs = 10;
const turnMs = 100;

/** Time for the last answers of the node. */
const graceMs = 2_000;

/** The longest time for which an attack on a slow machine waits for each documented answer. */
const patienceMs = 30_000;

export class Attackers {
  sent = 0;
  readonly #endsAtMs: number;
  readonly #outcomes = new Map<Outcome, number>();
  readonly #faults = new Set<string>();
  readonly #peers = new Set<Peer>();
  #turn = 0;

  /** `answers`: the documented answers of a node. */
  constructor(
    readonly target: Addresses,
    seconds: number,
    private readonly answers: readonly Outcome[],
    /** Cuts the link between the last node and Redis, or heals it; resolves once that is done. */
    readonly link: (command: LinkCommand) => Promise<void>,
  ) {
    this.#endsAtMs = performance.now() + seconds * 1_000;
  }

  /** Whether the time is up, and the node has given each answer or had enough time for it. */
  get isOver(): boolean {
    const lateMs = performance.now() - this.#endsAtMs;
    return lateMs >= patienceMs || (lateMs >= 0 && this.answers.every((answer) => this.#outcomes.has(answer)));
  }

  /** Waits until the attack is over. */
  async wait(): Promise<void> {
    await this.until(() => false);
  }

  /** Open connections. */
  get open(): number {
    return this.#peers.size;
  }

  /** The number of times that an outcome was seen. */
  count(outcome: Outcome): number {
    return this.#outcomes.get(outcome) ?? 0;
  }

  /** Reports a forbidden result of the attack. The same sentence counts once. */
  fault(sentence: string): void {
    this.#faults.add(sentence);
  }

  /** Resolves once the condition is true or the attack is over. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo() && !this.isOver) await delay(tickMs);
  }

  async redis(...args: readonly string[]): Promise<RedisReply> {
    if (this.target.redisPort === null) throw new Error('There is no Redis between the nodes.');
    return await redisCommand(this.target.redisPort, args);
  }

  /** A connection that has sent only its `head`. */
  dial({ port, ...options }: DialOptions & PortOption = {}): Peer {
    const { ports } = this.target;
    const chosen = port ?? ports[this.#turn++ % ports.length] ?? 0;
    const peer = new Peer(chosen, options, (outcome) => this.#see(outcome));
    this.#peers.add(peer);
    void peer.ended.then(() => this.#peers.delete(peer));
    return peer;
  }

  /** An opening handshake. */
  handshake({ headers = [], ...options }: EnterOptions = {}): Peer {
    return this.dial({ ...options, head: [...handshake, ...headers] });
  }

  /** A connection that the node accepted; null if the node refused it. */
  async enter(options: EnterOptions = {}): Promise<Peer | null> {
    const peer = this.handshake(options);
    return (await peer.status) === 101 ? peer : null;
  }

  /** A connection with a token of that subject. */
  async enterAs(subject: string, claims: Claims = {}, port?: number): Promise<Peer | null> {
    return await this.enterWith(tokenOf(subject, claims), port);
  }

  /** A connection whose token was accepted. Before that, a client may send little. */
  async enterWith(token: string, port?: number): Promise<Peer | null> {
    const peer = await this.enter({ port, headers: [`Authorization: Bearer ${token}`] });
    peer?.send({ type: 'connect' });
    await peer?.greeted;
    return peer;
  }

  /** Whether a node accepts a connection with that token. Closes the connection again. */
  async isLetIn(token: string, port: number): Promise<boolean> {
    const peer = await this.enterWith(token, port);
    const isIn = peer?.isClosed === false;
    await peer?.end();
    return isIn;
  }

  /** A request of the operator during the attack. Returns the HTTP status; 0 if there is none. */
  async revoke(subject: string, port: number): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${port}/v1/revocations`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${adminKey}` },
      body: JSON.stringify({ subject }),
    }).catch(() => null);
    return response?.status ?? 0;
  }

  /** Acts at a rate until the time is up; pauses while the attackers have their maximum of connections. */
  async pace(perSecond: number, act: (n: number) => void): Promise<void> {
    const beganMs = performance.now();
    for (let done = 0; !this.isOver; await delay(tickMs)) {
      const due = ((performance.now() - beganMs) * perSecond) / 1_000;
      for (; done < due; done++) if (this.open < maxOpen) act(done);
    }
  }

  /** Runs `size` members in parallel. Each acts again and again, up to ten times a second, until the time is up. */
  async crowd(size: number, act: (member: number, turn: number) => Promise<void>): Promise<void> {
    const members = Array.from({ length: size }, async (_, member) => {
      for (let turn = 0; turn === 0 || !this.isOver; turn++) {
        await act(member, turn);
        await delay(turnMs);
      }
    });
    await Promise.all(members);
  }

  async report(): Promise<AttackReport> {
    const ended = Promise.all([...this.#peers].map(({ ended }) => ended));
    await Promise.race([ended, delay(graceMs)]);
    await Promise.all([...this.#peers].map((peer) => peer.end()));
    return { sent: this.sent, outcomes: Object.fromEntries(this.#outcomes), faults: [...this.#faults] };
  }

  #see(outcome: Outcome): void {
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
  }
}

export const handshake = handshakeLines('/ws', 'localhost');

/** One of many addresses of this machine. */
export function addressOf(n: number): string {
  return `127.0.${1 + (Math.floor(n / 250) % 250)}.${1 + (n % 250)}`;
}

/** The proxies that nodes trust: addresses of this machine that nothing else uses. */
export const proxyNetwork = '127.1.0.0/16';

/** One of many of them. */
export function proxyOf(n: number): string {
  return `127.1.${Math.floor(n / 250) % 250}.${1 + (n % 250)}`;
}

/** The header of a proxy for a client at another address. */
export function forwardedFor(n: number): string {
  return `X-Forwarded-For: 203.0.${Math.floor(n / 256) % 256}.${n % 256}`;
}
