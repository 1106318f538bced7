/** Revocations: subjects, tokens and connections that are no longer accepted although their token is valid. */
import { apiKeySubjectPrefix } from './api-keys.js';
import type { Issuer } from './auth-config.js';
import type { Identity } from './identity.js';

export const revocationKinds = ['subject', 'tokenId', 'connection'] as const;
export type RevocationKind = (typeof revocationKinds)[number];

export interface Revocation {
  readonly kind: RevocationKind;
  readonly value: string;
  /** When it was revoked, in milliseconds since the epoch. Tokens that a subject gets later are valid. */
  readonly atMs: number;
  /** Until when it must be kept, in milliseconds since the epoch. By then, everything that it revokes has expired. */
  readonly untilMs: number;
}

/** `untilMs` of revoked API keys, which do not expire: the last time that a Date can represent. */
export const forever = 8_640_000_000_000_000;

/**
 * Maximum number of revocations of a broker: 10 to 20 MB in Redis, and 100 MB in each node. Beyond it, the node refuses
 * more.
 */
export const maxRevocations = 250_000;

/** Revocations are kept at least this long, so that a node that was cut off can still close connections. */
const leastSeconds = 3_600;

/** Allowed clock difference between two nodes. */
const nodeClockSeconds = 60;

/**
 * How long a revocation must be kept, in milliseconds: as long as a token that was issued before it can be valid. The
 * clock skew counts twice. Tokens issued up to the skew later are revoked too, and each token is accepted for longer
 * than its lifetime, by the skew.
 */
export function keptForMs(issuers: readonly Pick<Issuer, 'maxLifetimeSeconds' | 'clockSkewSeconds'>[]): number {
  const seconds = issuers.map(({ maxLifetimeSeconds, clockSkewSeconds }) => maxLifetimeSeconds + 2 * clockSkewSeconds);
  return (Math.max(leastSeconds, ...seconds) + nodeClockSeconds) * 1_000;
}

/** The revocations that this node knows. */
export class Revocations {
  readonly #revocations = new Map<string, Revocation>();

  /** `keptForMs`: how long new revocations are kept ({@link keptForMs}). */
  constructor(private keptForMs: number) {}

  /** The lifetime of tokens has changed. Known revocations are kept longer if necessary, never shorter. */
  keepFor(ms: number): void {
    this.keptForMs = ms;
    for (const revocation of [...this.#revocations.values()]) this.add(revocation);
  }

  get size(): number {
    return this.#revocations.size;
  }

  all(): Iterable<Revocation> {
    return this.#revocations.values();
  }

  /** The known revocation of the same subject, token or connection. */
  known(revocation: Revocation): Revocation | undefined {
    return this.#revocations.get(keyOf(revocation));
  }

  /** A new revocation that is kept for as long as necessary. */
  create(kind: RevocationKind, value: string, nowMs: number): Revocation {
    return { kind, value, atMs: nowMs, untilMs: this.#neededUntilMs({ kind, value, atMs: nowMs }) };
  }

  /**
   * Returns whether the revocation is new. This node keeps it for as long as it needs it, even if the revocation itself
   * names a shorter time.
   */
  add(revocation: Revocation): boolean {
    const known = this.known(revocation);
    this.#revocations.set(keyOf(revocation), {
      ...revocation,
      atMs: Math.max(revocation.atMs, known?.atMs ?? 0),
      untilMs: Math.max(revocation.untilMs, known?.untilMs ?? 0, this.#neededUntilMs(revocation)),
    });
    return known === undefined || revocation.atMs > known.atMs;
  }

  /**
   * Whether this token or this connection is revoked. `iat` counts seconds: tokens issued in the same second are
   * revoked too.
   */
  has({ subject, tokenId, issuedAtMs }: Identity, connection: string): boolean {
    if (this.#revocations.size === 0) return false;
    const ofSubject = this.#revocations.get(keyOf({ kind: 'subject', value: subject }));
    if (ofSubject !== undefined && (issuedAtMs === null || issuedAtMs <= ofSubject.atMs)) return true;
    if (tokenId !== null && this.#revocations.has(keyOf({ kind: 'tokenId', value: tokenId }))) return true;
    return this.#revocations.has(keyOf({ kind: 'connection', value: connection }));
  }

  /**
   * Whether no node needs the revocation any more. Its end may be too early for this node, if an older release or a
   * node with shorter-lived tokens chose it. This does not apply to API keys: a key may have been replaced since.
   */
  isExpired(revocation: Revocation, nowMs: number): boolean {
    if (revocation.untilMs > nowMs) return false;
    return isOfApiKey(revocation) || this.#neededUntilMs(revocation) <= nowMs;
  }

  /** Removes expired revocations, and returns them. */
  removeExpired(nowMs: number): readonly Revocation[] {
    const expired: Revocation[] = [];
    for (const [key, revocation] of this.#revocations) {
      if (revocation.untilMs > nowMs) continue;
      this.#revocations.delete(key);
      expired.push(revocation);
    }
    return expired;
  }

  #neededUntilMs(revocation: Pick<Revocation, 'kind' | 'value' | 'atMs'>): number {
    return isOfApiKey(revocation) ? forever : revocation.atMs + this.keptForMs;
  }
}

/** A unique name of the subject, token or connection. */
export function keyOf({ kind, value }: Pick<Revocation, 'kind' | 'value'>): string {
  return `${kind}:${value}`;
}

function isOfApiKey({ kind, value }: Pick<Revocation, 'kind' | 'value'>): boolean {
  return kind === 'subject' && value.startsWith(apiKeySubjectPrefix);
}
