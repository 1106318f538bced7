/**
 * The published keys of one issuer (RFC 7517), read in the background. Each issuer has its own object, because two
 * issuers may use the same `kid` for different keys.
 */
import { createPublicKey, type JsonWebKey, KeyObject } from 'node:crypto';
import type { Log } from '../observe/log.js';
import { type Algorithm, explainWrongKey, type Issuer, type IssuerKey } from './auth-config.js';
import { AuthError } from './auth-error.js';
import { AnswerError, explainFailure, readBody } from './http.js';
import type { KeySource } from './jwt.js';

interface JwksSettings extends Pick<Issuer, 'algorithms'> {
  readonly jwksUrl: string;
}

export interface JwksCounters {
  jwksFetches: number;
  jwksFailures: number;
}

/** How often keys are read, and the shortest pause after a failure or an unknown `kid`, in milliseconds. */
const refreshMs = 300_000;
export const retryMs = 30_000;

const timeoutMs = 5_000;
const maxBytes = 1_048_576;
const maxKeys = 100;

export class JwksKeys implements KeySource {
  readonly #timer: NodeJS.Timeout;
  /** Null until the first read. After a failure the previous keys remain valid. */
  #keys: readonly IssuerKey[] | null = null;
  /** Keys that the issuer once had, the last one first. */
  #removed: readonly IssuerKey[] = [];
  #reading: Promise<void> | null = null;
  #readAt = Number.NEGATIVE_INFINITY;
  #hasFailed = false;

  /**
   * `place`: the place of the issuer in FANFARE_AUTH, for the log: `issuers[0]`. Its name may be a secret in the wrong
   * place. `keys`: those that are already known, if any. `onKeyRemoved`: called when keys were removed. `now`:
   * milliseconds, for tests.
   */
  constructor(
    private readonly settings: JwksSettings,
    keys: readonly IssuerKey[] | null,
    public place: string,
    private readonly log: Log,
    private readonly counters: JwksCounters,
    private readonly onKeyRemoved: () => void,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#keys = keys;
    this.#timer = setInterval(() => {
      if (this.#hasFailed || this.now() - this.#readAt >= refreshMs) void this.#read();
    }, retryMs);
    this.#timer.unref();
    void this.#read();
  }

  /** Null until the first read. */
  get keys(): readonly IssuerKey[] | null {
    return this.#keys;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async find(isWanted: (key: IssuerKey) => boolean): Promise<readonly IssuerKey[]> {
    const found = this.#matching(isWanted);
    if (found.length > 0) return found;
    const mayRead = this.#reading !== null || this.now() - this.#readAt >= retryMs;
    if (mayRead) await this.#read();
    if (this.#keys === null)
      throw new AuthError('unavailable', 'The keys of the issuer are currently unavailable. Retry.');
    const foundNow = this.#matching(isWanted);
    // The issuer may have a new key that this node has not read yet: the client should retry.
    if (foundNow.length === 0 && (!mayRead || this.#hasFailed)) {
      throw new AuthError('unavailable', 'This node does not have the key of the token yet. Retry.');
    }
    return foundNow;
  }

  has(key: IssuerKey): boolean {
    return this.#keys?.includes(key) === true;
  }

  hasLost(isWanted: (key: IssuerKey) => boolean): boolean {
    return this.#removed.some(isWanted);
  }

  #matching(isWanted: (key: IssuerKey) => boolean): readonly IssuerKey[] {
    return (this.#keys ?? []).filter(isWanted);
  }

  /** Reads the keys, once for all concurrent callers. Never rejects. */
  #read(): Promise<void> {
    this.#reading ??= this.#fetch().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #fetch(): Promise<void> {
    this.#readAt = this.now();
    this.counters.jwksFetches++;
    const keys = await this.#download().catch((error: unknown) => this.#fail(error));
    if (keys === null) return;
    if (this.#hasFailed || this.#keys === null) {
      this.log.info({ event: 'jwksRead', issuer: this.place }, `Read ${keys.length} keys of an issuer.`);
    }
    this.#hasFailed = false;
    this.#replace(keys);
  }

  #fail(error: unknown): null {
    this.counters.jwksFailures++;
    if (!this.#hasFailed) {
      const meanwhile =
        this.#keys === null ? 'no token of this issuer is accepted until it does' : 'the keys read before remain valid';
      this.log.error(
        { event: 'jwksFailed', issuer: this.place },
        `The jwksUrl of an issuer ${explainFailure(error)}: ${meanwhile}.`,
      );
    }
    this.#hasFailed = true;
    return null;
  }

  /** Unchanged keys remain the same objects, because connections are compared with them. */
  #replace(published: readonly IssuerKey[]): void {
    const before = this.#keys ?? [];
    const keys = published.map((key) => before.find((known) => isSameKey(known, key)) ?? key);
    this.#keys = keys;
    const gone = before.filter((key) => !keys.includes(key));
    const removed = gone.length;
    this.#removed = [...gone, ...this.#removed.filter((key) => !keys.some((known) => isSameKey(known, key)))].slice(
      0,
      maxKeys,
    );
    if (removed === 0) return;
    this.log.warn(
      { event: 'jwksKeysRemoved', issuer: this.place, keys: removed },
      `The jwksUrl of an issuer no longer has ${removed} of its keys. Closing connections whose tokens they signed.`,
    );
    this.onKeyRemoved();
  }

  async #download(): Promise<readonly IssuerKey[]> {
    const response = await fetch(this.settings.jwksUrl, {
      headers: { Accept: 'application/json' },
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (response.status !== 200) throw new AnswerError(`returned status ${response.status}`);
    const document: unknown = JSON.parse(await readBody(response, maxBytes));
    const list = (document as { keys?: unknown } | null)?.keys;
    if (!Array.isArray(list)) throw new AnswerError('returned no JWKS');
    if (list.length > maxKeys)
      throw new AnswerError(`returned ${list.length} keys, more than the maximum of ${maxKeys}`);
    return list.flatMap((jwk: unknown) => this.#import(jwk) ?? []);
  }

  /** Returns null for a key that Fanfare cannot use: it may be for another application. */
  #import(jwk: unknown): IssuerKey | null {
    const { kid, use, alg, ...rest } = (typeof jwk === 'object' && jwk !== null ? jwk : {}) as Record<string, unknown>;
    if (typeof kid !== 'string' || (use !== undefined && use !== 'sig')) return null;
    const { d, key_ops: operations } = rest;
    if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return null;
    // Anyone could sign with a published private key.
    if (d !== undefined) return null;
    const key = importKey(rest as JsonWebKey);
    if (key === null) return null;
    const algorithm = this.settings.algorithms.find(
      (name: Algorithm) => (alg === undefined || alg === name) && explainWrongKey(key, name) === null,
    );
    return algorithm === undefined ? null : { algorithm, kid, key };
  }
}

function isSameKey(one: IssuerKey, other: IssuerKey): boolean {
  if (one.kid !== other.kid || one.algorithm !== other.algorithm) return false;
  return one.key instanceof KeyObject && other.key instanceof KeyObject && one.key.equals(other.key);
}

function importKey(jwk: JsonWebKey): KeyObject | null {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    return null;
  }
}
