/**
 * The store of many nodes, in Redis. Each node asks for new revocations twice a second, rather than being told: what is asked for
 * cannot be lost on the way, whatever happens to a connection.
 */

import type { Spending } from '../limits/shared-bucket.js';
import type { Log } from '../observe/log.js';
import { type RedisCounters, type RedisSettings, StoreLink } from '../redis/redis.js';
import { readRedisUrl } from '../redis/redis-url.js';
import { Keys } from '../relay/keys.js';
import { AuthError } from './auth-error.js';
import type { AuthStore, OnRevoked } from './auth-store.js';
import { keyOf, maxRevocations, type Revocation, type Revocations, revocationKinds } from './revocations.js';

export interface RedisAuthStoreSettings extends RedisSettings {
  readonly redisPrefix: string;
  /** The id under which the relay of this node sends its heartbeats. */
  readonly nodeId: string;
  /** How long ago the revocations may have been read last for {@link AuthStore.isCurrent}. */
  readonly maxRevocationLagSeconds: number;
}

const pollMs = 500;

/** How long what a node has said of its connections holds, in milliseconds, as long as it sends heartbeats. */
export const reportedForMs = 90_000;

/** Most revocations read, written or removed at once. */
const pageSize = 1_000;

/** Before the first entry of a stream. */
const start = '0-0';

/** Subjects of one report: Redis does nothing else meanwhile. */
const reportSize = 200;

/** Entry of the stream: id, and fields and values in turn. */
type Entry = readonly [id: string, fields: readonly string[]];

export class RedisAuthStore implements AuthStore {
  readonly #link: StoreLink;
  readonly #revocationsKey: string;
  readonly #keptPrefix: string;
  readonly #budgetPrefix: string;
  readonly #connectionsPrefix: string;
  /** The nodes that send heartbeats (relay/keys.ts). */
  readonly #nodesKey: string;
  readonly #node: string;
  readonly #known: Revocations;
  readonly #onRevoked: OnRevoked;
  readonly #maxLagMs: number;
  readonly #poll: NodeJS.Timeout;
  /** Id of the last revocation read. As long as it is in the stream, nothing before it was lost. */
  #cursor = start;
  #isAsking = false;
  /** When what was read last was asked for, by performance.now(); before the first time, when this store was opened. */
  #readAtMs = performance.now();
  #hasRead = false;
  /** Known here, and not read since: Redis may not have them, so they are written until they are read. By {@link keyOf}. */
  readonly #unread = new Map<string, Revocation>();
  /** Id of the entry of each, by {@link keyOf}. */
  readonly #entries = new Map<string, string>();
  /** Ids of entries that are over, or in whose place others are. */
  readonly #stale: string[] = [];

  /** `known`: what this node knows to be revoked, to give it back to a Redis that has lost it. */
  constructor(
    settings: RedisAuthStoreSettings,
    known: Revocations,
    onRevoked: OnRevoked,
    log: Log,
    counters: RedisCounters,
  ) {
    this.#link = new StoreLink(settings, log, counters, { onReady: () => void this.#ask() });
    this.#revocationsKey = `${settings.redisPrefix}:revocations`;
    this.#keptPrefix = `${settings.redisPrefix}:ticket:`;
    this.#budgetPrefix = `${settings.redisPrefix}:budget:`;
    this.#connectionsPrefix = `${settings.redisPrefix}:connections:`;
    this.#nodesKey = new Keys(settings.redisPrefix, readRedisUrl(settings.redisUrl).database).nodes;
    this.#node = settings.nodeId;
    this.#known = known;
    this.#onRevoked = onRevoked;
    this.#maxLagMs = settings.maxRevocationLagSeconds * 1_000;
    this.#poll = setInterval(() => void this.#ask(), pollMs);
    this.#poll.unref();
  }

  async revoke(revocation: Revocation): Promise<void> {
    this.#onRevoked([revocation]);
    const known = this.#known.known(revocation) ?? revocation;
    this.#unread.set(keyOf(known), known);
    try {
      await this.#write([known]);
    } catch {
      // The link has said why in the log.
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
    const keys = spendings.map(({ name }) => this.#budgetPrefix + name);
    const args = spendings.flatMap(({ perSecond, burst, amount }) => [perSecond, burst, amount]);
    const [left] = (await this.#run([['EVAL', spendScript, keys.length, ...keys, ...args]])) as [readonly unknown[]];
    return left.map(Number);
  }

  async keep(name: string, value: string, ttlMs: number): Promise<void> {
    await this.#run([['SET', this.#keptPrefix + name, value, 'PX', ttlMs]]);
  }

  async take(name: string): Promise<string | null> {
    const [value] = await this.#run([['GETDEL', this.#keptPrefix + name]]);
    return typeof value === 'string' ? value : null;
  }

  async enter(name: string, count: number, most: number): Promise<boolean> {
    const key = this.#connectionsPrefix + name;
    const [isIn] = await this.#run([
      ['EVAL', enterScript, 2, key, this.#nodesKey, this.#node, count, most, reportedForMs],
    ]);
    return isIn === 1;
  }

  report(counts: readonly (readonly [name: string, count: number])[]): void {
    // Nobody awaits this: `#report` does not reject.
    void this.#report(counts);
  }

  async #report(counts: readonly (readonly [name: string, count: number])[]): Promise<void> {
    for (let at = 0; at < counts.length; at += reportSize) {
      const slice = counts.slice(at, at + reportSize);
      const keys = slice.map(([name]) => this.#connectionsPrefix + name);
      const args = [this.#node, reportedForMs, ...slice.map(([, count]) => count)];
      try {
        await this.#link.run([['EVAL', reportScript, keys.length, ...keys, ...args]]);
      } catch {
        // The link has said why in the log. What was said before holds until it is too old.
      }
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#poll);
    await this.#link.close();
  }

  async #run(commands: Parameters<StoreLink['run']>[0]): Promise<readonly unknown[]> {
    try {
      return await this.#link.run(commands);
    } catch {
      // The link has said why in the log.
      throw new AuthError('unavailable', 'Redis is out of memory or does not respond. Retry.');
    }
  }

  async #ask(): Promise<void> {
    if (this.#isAsking || !this.#link.isReady) return;
    this.#isAsking = true;
    try {
      while (await this.#readPage());
      // One that was revoked while this was read may be written twice, which does no harm.
      await this.#write([...this.#unread.values()]);
      await this.#removeStale();
    } catch {
      // The link has said why in the log. What was not done now is done the next time.
    } finally {
      this.#isAsking = false;
    }
  }

  /** Answers whether there is more. */
  async #readPage(): Promise<boolean> {
    const askedAtMs = performance.now();
    const [entries] = (await this.#link.run([
      ['XRANGE', this.#revocationsKey, this.#cursor, '+', 'COUNT', pageSize],
    ])) as [readonly Entry[]];
    const isWhole = this.#cursor === start || entries[0]?.[0] === this.#cursor;
    if (!isWhole) {
      this.#startOver();
      return true;
    }
    this.#take(entries);
    if (entries.length === pageSize) return true;
    this.#readAtMs = askedAtMs;
    this.#hasRead = true;
    return false;
  }

  /** Redis has another state than before: all nodes read all of it again, and write what they know and it does not. */
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
      if (this.#known.isOver(revocation, nowMs)) this.#stale.push(id);
      else news.push([id, revocation]);
    }
    if (news.length > 0) this.#onRevoked(news.map(([, revocation]) => revocation));
    for (const [id, revocation] of news) this.#confirm(id, revocation);
  }

  /** The entry is in Redis: if it says less than is known here, what is known takes its place. */
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
      await this.#link.run(revocations.slice(at, at + pageSize).map((revocation) => this.#commandOf(revocation)));
    }
  }

  #commandOf({ kind, value, atMs, untilMs }: Revocation): [string, ...(string | number)[]] {
    return ['EVAL', revokeScript, 1, this.#revocationsKey, maxRevocations, kind, value, atMs, untilMs];
  }

  async #removeStale(): Promise<void> {
    while (this.#stale.length > 0) {
      const ids = this.#stale.slice(0, pageSize);
      await this.#link.run([['XDEL', this.#revocationsKey, ...ids]]);
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

// All of these may write although Redis is full (allow-oom): otherwise a user who fills it could not be revoked, and would be held to his limits at
// each node by itself. What they write is bounded: revocations in number, and the rest by the subjects of the last 90 s.

/**
 * Revokes: KEYS[1] the stream; ARGV the most that it may hold, then kind, value, and since and until when. Error TOOMANY if it holds as many.
 */
const revokeScript = `#!lua flags=allow-oom
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then
  return redis.error_reply('TOOMANY ' .. ARGV[1] .. ' revocations')
end
return redis.call('XADD', KEYS[1], '*', ARGV[2], ARGV[3], 'at', ARGV[4], 'until', ARGV[5])
`;

/**
 * Token buckets: KEYS their hashes; ARGV for each what comes in a second, the most that it holds, what is taken. Answers what is left of each, as
 * texts: scripts answer numbers as integers. What is taken and not there is owed, however much it is: a bucket that forgave would let several
 * nodes give out more than comes in.
 */
const spendScript = `#!lua flags=allow-oom
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers = {}
for at, key in ipairs(KEYS) do
  local rate, most, taken = tonumber(ARGV[3 * at - 2]), tonumber(ARGV[3 * at - 1]), tonumber(ARGV[3 * at])
  local bucket = redis.call('HMGET', key, 'left', 'at')
  local passed = math.max(0, now - (tonumber(bucket[2]) or now))
  local left = math.min(most, (tonumber(bucket[1]) or most) + passed * rate / 1000) - taken
  if taken > 0 then
    redis.call('HSET', key, 'left', tostring(left), 'at', now)
    redis.call('PEXPIRE', key, math.ceil((most - left) / rate * 1000) + 1000)
  end
  answers[at] = tostring(left)
end
return answers
`;

/**
 * The connections of a subject: KEYS[1] a hash of what each node has said, count and until when that holds; KEYS[2] the nodes that are alive
 * (lua/heartbeat.lua), of which alone it counts; ARGV the node, its new count, the most there may be, how long it holds. Answers 1 if it is in.
 * What a node without heartbeats has said is kept: it may only have lost another connection to Redis for a moment.
 */
const enterScript = `#!lua flags=allow-oom
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all = tonumber(ARGV[2])
local said = redis.call('HGETALL', KEYS[1])
for at = 1, #said, 2 do
  local count, til = string.match(said[at + 1], '^(%d+):(%d+)$')
  if said[at] ~= ARGV[1] then
    if not til or tonumber(til) <= now then
      redis.call('HDEL', KEYS[1], said[at])
    elseif redis.call('ZSCORE', KEYS[2], said[at]) then
      all = all + tonumber(count)
    end
  end
end
if all > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. string.format('%d', now + tonumber(ARGV[4])))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
`;

/** The same without asking, of many subjects: ARGV the node, how long it holds, the count of each. */
const reportScript = `#!lua flags=allow-oom
local time = redis.call('TIME')
local til = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[2]))
for at, key in ipairs(KEYS) do
  local count = ARGV[at + 2]
  if count == '0' then
    redis.call('HDEL', key, ARGV[1])
  else
    redis.call('HSET', key, ARGV[1], count .. ':' .. til)
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
`;
