/**
 * The store of many nodes, in Redis. Each node asks for new revocations twice a second, rather than being told: what is asked for
 * cannot be lost on the way, whatever happens to a connection.
 */

import type { Spending } from '../limits/shared-bucket.js';
import type { Log } from '../log.js';
import { type RedisCounters, type RedisSettings, StoreLink } from '../redis.js';
import { readRedisUrl } from '../redis-url.js';
import { Keys } from '../relay/keys.js';
import { AuthError } from './auth-error.js';
import type { AuthStore, OnRevoked } from './auth-store.js';
import { type Revocation, type Revocations, revocationKinds } from './revocations.js';

export interface RedisAuthStoreSettings extends RedisSettings {
  readonly redisPrefix: string;
  /** The id under which the relay of this node sends its heartbeats. */
  readonly nodeId: string;
}

const pollMs = 500;

/** How long what a node has said of its connections holds, in milliseconds, as long as it sends heartbeats. */
export const reportedForMs = 90_000;

/** Most revocations read at once. */
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
  readonly #poll: NodeJS.Timeout;
  /** Id of the last revocation read. As long as it stands in the stream, nothing before it was lost. */
  #cursor = start;
  #isAsking = false;
  #isCurrent = false;

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
    this.#poll = setInterval(() => void this.#ask(), pollMs);
    this.#poll.unref();
  }

  async revoke(revocation: Revocation): Promise<void> {
    await this.#run([this.#entryOf(revocation)]);
    this.#onRevoked([revocation]);
  }

  get isCurrent(): boolean {
    return this.#isCurrent;
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
      throw new AuthError('unavailable', 'The store of the nodes, Redis, does not answer. Try again.');
    }
  }

  async #ask(): Promise<void> {
    if (this.#isAsking || !this.#link.isReady) return;
    this.#isAsking = true;
    try {
      while (await this.#readPage());
      this.#isCurrent = true;
    } catch {
      // The link has said why in the log. What was not read now is read the next time.
    } finally {
      this.#isAsking = false;
    }
  }

  /** Answers whether there is more. */
  async #readPage(): Promise<boolean> {
    const [entries] = (await this.#link.run([
      ['XRANGE', this.#revocationsKey, this.#cursor, '+', 'COUNT', pageSize],
    ])) as [readonly Entry[]];
    const isWhole = this.#cursor === start || entries[0]?.[0] === this.#cursor;
    if (!isWhole) {
      await this.#giveBack();
      return true;
    }
    const news: Revocation[] = [];
    for (const [id, fields] of entries) {
      if (id === this.#cursor) continue;
      this.#cursor = id;
      const revocation = read(fields);
      if (revocation !== null && revocation.untilMs > Date.now()) news.push(revocation);
    }
    if (news.length > 0) this.#onRevoked(news);
    return entries.length === pageSize;
  }

  /** Redis has another state than before: all nodes write what they know, and read all of it anew. */
  async #giveBack(): Promise<void> {
    await this.#link.run([...this.#known.all()].map((revocation) => this.#entryOf(revocation)));
    this.#cursor = start;
  }

  /** What was revoked longer ago than the longest memory of any is left out by the way. */
  #entryOf({ kind, value, atMs, untilMs }: Revocation): [string, ...(string | number)[]] {
    const oldest = Date.now() - maxRevocationMs;
    return ['XADD', this.#revocationsKey, 'MINID', '~', oldest, '*', kind, value, 'at', atMs, 'until', untilMs];
  }
}

/** Longest that a revocation is remembered. */
export const maxRevocationMs = 30 * 86_400_000;

function read(fields: readonly string[]): Revocation | null {
  const [kind, value, , at, , until] = fields;
  const known = revocationKinds.find((name) => name === kind);
  if (known === undefined || value === undefined) return null;
  return { kind: known, value, atMs: Number(at), untilMs: Number(until) };
}

/**
 * Token buckets: KEYS their hashes; ARGV for each what comes in a second, the most that it holds, what is taken. Answers what is left of each, as
 * texts: scripts answer numbers as integers. What is taken and not there is owed, however much it is: a bucket that forgave would let several
 * nodes give out more than comes in.
 */
const spendScript = `
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
const enterScript = `
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
const reportScript = `
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
