/**
 * The store that several nodes share, in Redis. Each node reads new revocations twice a second: a notification could be
 * lost with a connection.
 */
import { randomBytes } from 'node:crypto';
import type { Spending } from '../limits/shared-bucket.js';
import { readLua, type ScriptCall, scriptOf } from '../redis/redis.js';
import type { FollowHome, Home } from '../relay/open-relay.js';
import { AuthError } from './auth-error.js';
import { type AuthStore, clusterKeyBytes, type OnRevoked, reportedForMs } from './auth-store.js';
import { keyOf, maxRevocations, type Revocation, type Revocations, revocationKinds } from './revocations.js';

interface RedisAuthStoreSettings {
  /** The id with which the relay of this node sends its heartbeats. */
  readonly nodeId: string;
  /** How old the last read of the revocations may be for {@link AuthStore.isCurrent}. */
  readonly maxRevocationLagSeconds: number;
}

const pollMs = 500;

/** The maximum number of revocations that are read, written or removed at once. */
const pageSize = 1_000;

/** The position before the first entry of a stream. */
const start = '0-0';

/** Current and earlier keys of all nodes. There is a second one only if Redis has lost the first one. */
const maxClusterKeys = 4;

/** The maximum number of subjects in one report: Redis does nothing else during a report. */
const reportSize = 200;

const scriptNamed = (name: string) => scriptOf(readLua(`auth/${name}.lua`));
const scripts = {
  revoke: scriptNamed('revoke'),
  spend: scriptNamed('spend'),
  admit: scriptNamed('admit'),
  report: scriptNamed('report'),
};

/** Entry of the stream: its id, and alternating fields and values. */
type Entry = readonly [id: string, fields: readonly string[]];

/** A store, and the connection to it. */
interface Opened {
  readonly home: Home;
  readonly link: ReturnType<Home['open']>;
}

export class RedisAuthStore implements AuthStore {
  /** Where the store is, and the connection to it; null before it is known. */
  #opened: Opened | null = null;
  /** Stores that this node has left: the id of the last revocation there that it has read. */
  readonly #left = new Map<Opened, string>();
  readonly #node: string;
  readonly #known: Revocations;
  readonly #onRevoked: OnRevoked;
  readonly #maxLagMs: number;
  readonly #poll: NodeJS.Timeout;
  /** Id of the last revocation that was read. As long as the stream contains it, no earlier revocation was lost. */
  #cursor = start;
  #isPolling = false;
  #isClosed = false;
  /** When the last complete read began, by performance.now(); before the first one, when the store was opened. */
  #readAtMs = performance.now();
  #hasRead = false;
  /** Revocations that Redis may lack, by {@link keyOf}. The node writes them until it reads them from Redis. */
  readonly #unread = new Map<string, Revocation>();
  /** The id of the entry of each revocation, by {@link keyOf}. */
  readonly #entries = new Map<string, string>();
  /** Ids of entries that have expired or were replaced. */
  readonly #stale: string[] = [];
  /** The keys of all nodes, the current one first. Empty until one is needed. */
  #clusterKeys: readonly Buffer[] = [];

  /** `known`: the revocations that this node knows, to restore them if Redis has lost them. */
  constructor(settings: RedisAuthStoreSettings, followHome: FollowHome, known: Revocations, onRevoked: OnRevoked) {
    this.#node = settings.nodeId;
    this.#known = known;
    this.#onRevoked = onRevoked;
    this.#maxLagMs = settings.maxRevocationLagSeconds * 1_000;
    this.#poll = setInterval(() => {
      for (const left of this.#left.keys()) void this.#readLast(left);
      void this.#pollOnce();
    }, pollMs);
    this.#poll.unref();
    followHome((home) => this.#moveTo(home));
  }

  async revoke(revocation: Revocation): Promise<void> {
    this.#onRevoked([revocation]);
    const known = this.#known.known(revocation) ?? revocation;
    this.#unread.set(keyOf(known), known);
    try {
      await this.#write([known]);
    } catch {
      // The link has logged why.
      throw new AuthError(
        'unavailable',
        'Revoked on this node, but Redis has not confirmed it. Other nodes may not have the revocation yet. This node keeps retrying while it runs. Repeat the request until the answer is 202.',
      );
    }
  }

  forget(revocations: readonly Revocation[]): void {
    for (const revocation of revocations) {
      const key = keyOf(revocation);
      const id = this.#entries.get(key);
      if (id !== undefined) this.#stale.push(id);
      this.#entries.delete(key);
      this.#unread.delete(key);
    }
  }

  get revocationLagMs(): number {
    return performance.now() - this.#readAtMs;
  }

  get isCurrent(): boolean {
    return this.#hasRead && this.revocationLagMs <= this.#maxLagMs;
  }

  async spend(spendings: readonly Spending[]): Promise<readonly number[]> {
    const keys = spendings.map(({ name }) => this.#key('budget', name));
    const args = spendings.flatMap(({ perSecond, burst, amount }) => [perSecond, burst, amount]);
    const [left] = (await this.#answer(this.#link.evaluate([{ script: scripts.spend, keys, args }]))) as [
      readonly unknown[],
    ];
    return left.map(Number);
  }

  async keep(name: string, value: string, ttlMs: number): Promise<void> {
    await this.#answer(this.#link.run([['SET', this.#key('ticket', name), value, 'PX', ttlMs]]));
  }

  async take(name: string): Promise<string | null> {
    const [value] = await this.#answer(this.#link.run([['GETDEL', this.#key('ticket', name)]]));
    return typeof value === 'string' ? value : null;
  }

  async admit(name: string, count: number, most: number): Promise<boolean> {
    const keys = [this.#key('connections', name), this.#home.nodes];
    const args = [this.#node, count, most, reportedForMs];
    const [isAdmitted] = await this.#answer(this.#link.evaluate([{ script: scripts.admit, keys, args }]));
    return isAdmitted === 1;
  }

  async clusterKeys(): Promise<readonly [Buffer, ...Buffer[]]> {
    if (this.#clusterKeys.length === 0) await this.#readClusterKey();
    return this.#clusterKeys as readonly [Buffer, ...Buffer[]];
  }

  /** The first node chooses the key. If Redis has lost it, a node that knows it writes it again. */
  async #readClusterKey(): Promise<void> {
    const mine = this.#clusterKeys[0] ?? randomBytes(clusterKeyBytes);
    const [, text] = await this.#answer(
      this.#link.run([
        ['SET', this.#key('streamKey'), mine.toString('base64'), 'NX'],
        ['GET', this.#key('streamKey')],
      ]),
    );
    const current = Buffer.from(String(text), 'base64');
    if (current.length !== clusterKeyBytes) throw new AuthError('unavailable', 'The key in Redis is damaged. Retry.');
    if (this.#clusterKeys[0]?.equals(current) === true) return;
    const earlier = this.#clusterKeys.filter((key) => !key.equals(current));
    this.#clusterKeys = [current, ...earlier].slice(0, maxClusterKeys);
  }

  report(counts: readonly (readonly [name: string, count: number])[]): void {
    // Not awaited: `#report` does not reject.
    void this.#report(counts);
  }

  async #report(counts: readonly (readonly [name: string, count: number])[]): Promise<void> {
    for (let at = 0; at < counts.length; at += reportSize) {
      const slice = counts.slice(at, at + reportSize);
      const keys = slice.map(([name]) => this.#key('connections', name));
      const args = [this.#node, reportedForMs, ...slice.map(([, count]) => count)];
      try {
        await this.#link.evaluate([{ script: scripts.report, keys, args }]);
      } catch {
        // The link has logged why. The previous report remains valid until it expires.
      }
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#poll);
    for (const { link } of [...this.#left.keys(), ...(this.#opened === null ? [] : [this.#opened])]) await link.close();
  }

  #moveTo(home: Home): void {
    if (this.#isClosed) return;
    const before = this.#opened;
    this.#opened = { home, link: home.open({ onReady: () => void this.#pollOnce() }) };
    if (before === null) return;
    this.#left.set(before, this.#cursor);
    // The new Redis lacks what the nodes know, as if it had lost its state.
    this.#startOver();
    void this.#readLast(before);
  }

  /**
   * Reads what other nodes have written to a store before nobody could write there any more (lua/auth/revoke.lua), and
   * leaves it. If the store does not respond, the next poll continues.
   */
  async #readLast(opened: Opened): Promise<void> {
    const { home, link } = opened;
    try {
      for (let cursor = this.#left.get(opened); cursor !== undefined; ) {
        const page = ['XRANGE', `${home.prefix}:revocations`, `(${cursor}`, '+', 'COUNT', pageSize] as const;
        const [entries] = (await link.run([page])) as [readonly Entry[]];
        cursor = entries.at(-1)?.[0];
        if (cursor !== undefined) this.#left.set(opened, cursor);
        this.#learn(entries);
      }
    } catch {
      return;
    }
    this.#left.delete(opened);
    await link.close();
  }

  /** Takes revocations that the current store may lack. */
  #learn(entries: readonly Entry[]): void {
    for (const [, fields] of entries) {
      const revocation = read(fields);
      if (revocation === null || this.#known.isExpired(revocation, Date.now())) continue;
      this.#onRevoked([revocation]);
      const known = this.#known.known(revocation) ?? revocation;
      this.#unread.set(keyOf(known), known);
    }
  }

  get #link(): ReturnType<Home['open']> {
    return this.#now.link;
  }

  get #home(): Home {
    return this.#now.home;
  }

  get #now() {
    if (this.#opened === null) throw new AuthError('unavailable', 'This node has no connection to Redis yet. Retry.');
    return this.#opened;
  }

  /** A name in Redis. */
  #key(...parts: readonly string[]): string {
    return [this.#home.prefix, ...parts].join(':');
  }

  async #answer(answers: Promise<readonly unknown[]>): Promise<readonly unknown[]> {
    try {
      return await answers;
    } catch {
      // The link has logged why.
      throw new AuthError('unavailable', 'Redis is out of memory or does not respond. Retry.');
    }
  }

  async #pollOnce(): Promise<void> {
    if (this.#isPolling || !this.#opened?.link.isReady) return;
    this.#isPolling = true;
    try {
      while (await this.#readPage());
      // A revocation that was made during the read may be written twice. That is harmless.
      await this.#write([...this.#unread.values()]);
      await this.#removeStale();
    } catch {
      // The link has logged why. The next poll continues.
    } finally {
      this.#isPolling = false;
    }
  }

  /** Returns whether there is more to read. */
  async #readPage(): Promise<boolean> {
    const beganAtMs = performance.now();
    const [entries, clusterKey] = (await this.#link.run([
      ['XRANGE', this.#key('revocations'), this.#cursor, '+', 'COUNT', pageSize],
      ['GET', this.#key('streamKey')],
    ])) as [readonly Entry[], string | null];
    const isWhole = this.#cursor === start || entries[0]?.[0] === this.#cursor;
    if (!isWhole) {
      this.#startOver();
      return true;
    }
    this.#take(entries);
    if (entries.length === pageSize) return true;
    this.#readAtMs = beganAtMs;
    this.#hasRead = true;
    // If Redis has lost its state, it may have no key, or one of a node that did not know the earlier one.
    const [known] = this.#clusterKeys;
    if (known !== undefined && known.toString('base64') !== clusterKey) await this.#readClusterKey();
    return false;
  }

  /** Redis has lost its state: all nodes read everything again, and write the revocations that are missing. */
  #startOver(): void {
    this.#cursor = start;
    this.#entries.clear();
    this.#stale.length = 0;
    for (const revocation of this.#known.all()) this.#unread.set(keyOf(revocation), revocation);
  }

  #take(entries: readonly Entry[]): void {
    const nowMs = Date.now();
    const news: (readonly [id: string, revocation: Revocation])[] = [];
    for (const [id, fields] of entries) {
      if (id === this.#cursor) continue;
      this.#cursor = id;
      const revocation = read(fields);
      if (revocation === null) continue;
      if (this.#known.isExpired(revocation, nowMs)) this.#stale.push(id);
      else news.push([id, revocation]);
    }
    if (news.length > 0) this.#onRevoked(news.map(([, revocation]) => revocation));
    for (const [id, revocation] of news) this.#confirm(id, revocation);
  }

  /** Call it for each entry in Redis. If this node knows of a wider revocation, it writes that one. */
  #confirm(id: string, revocation: Revocation): void {
    const key = keyOf(revocation);
    const earlier = this.#entries.get(key);
    if (earlier !== undefined) this.#stale.push(earlier);
    this.#entries.set(key, id);
    const known = this.#known.known(revocation) ?? revocation;
    if (revocation.atMs < known.atMs || revocation.untilMs < known.untilMs) this.#unread.set(key, known);
    else this.#unread.delete(key);
  }

  async #write(revocations: readonly Revocation[]): Promise<void> {
    for (let at = 0; at < revocations.length; at += pageSize) {
      await this.#link.evaluate(revocations.slice(at, at + pageSize).map((revocation) => this.#callOf(revocation)));
    }
  }

  #callOf({ kind, value, atMs, untilMs }: Revocation): ScriptCall {
    const { generation, mapVersion } = this.#home;
    const args = [maxRevocations, kind, value, atMs, untilMs, mapVersion];
    return { script: scripts.revoke, keys: [this.#key('revocations'), generation], args };
  }

  async #removeStale(): Promise<void> {
    while (this.#stale.length > 0) {
      const ids = this.#stale.slice(0, pageSize);
      await this.#link.run([['XDEL', this.#key('revocations'), ...ids]]);
      this.#stale.splice(0, ids.length);
    }
  }
}

function read(fields: readonly string[]): Revocation | null {
  const [kind, value, , at, , until] = fields;
  const known = revocationKinds.find((name) => name === kind);
  const [atMs, untilMs] = [Number(at), Number(until)];
  if (known === undefined || value === undefined) return null;
  if (!Number.isSafeInteger(atMs) || !Number.isSafeInteger(untilMs)) return null;
  return { kind: known, value, atMs, untilMs };
}
