/** Who may not be here any more, although the token says so: by subject, by token, by connection. */
import { apiKeySubjectPrefix } from './api-keys.js';
import type { Issuer } from './auth-config.js';
import type { Identity } from './identity.js';

export const revocationKinds = ['subject', 'tokenId', 'connection'] as const;
export type RevocationKind = (typeof revocationKinds)[number];

export interface Revocation {
  readonly kind: RevocationKind;
  readonly value: string;
  /** When it was revoked, milliseconds since the epoch: what a subject is issued later is good. */
  readonly atMs: number;
  /** Until when it has to be remembered, milliseconds since the epoch: nothing that it revokes is good any more then. */
  readonly untilMs: number;
}

/** `untilMs` of what does not end: an API key does not expire. The last moment that a Date can hold. */
export const forever = 8_640_000_000_000_000;

/** Most revocations that a broker remembers: 10 to 20 MB in Redis, and 100 MB in each node. One more is refused. */
export const maxRevocations = 250_000;

/** A revocation is remembered for at least so long: a node that was cut off has a connection to end. */
const leastSeconds = 3_600;

/** How far the clocks of two nodes may differ. */
const nodeClockSeconds = 60;

/**
 * How long a revocation has to be remembered, in milliseconds: as long as a token that was issued before can be good. What was issued up to
 * the clock skew after it is revoked too, and each token is good for the skew longer than it says.
 */
export function rememberedForMs(issuers: readonly Pick<Issuer, 'maxLifetimeSeconds' | 'clockSkewSeconds'>[]): number {
  const seconds = issuers.map(({ maxLifetimeSeconds, clockSkewSeconds }) => maxLifetimeSeconds + 2 * clockSkewSeconds);
  return (Math.max(leastSeconds, ...seconds) + nodeClockSeconds) * 1_000;
}

/** What is revoked now, as this node knows it. */
export class Revocations {
  readonly #revocations = new Map<string, Revocation>();
  #rememberedForMs: number;

  /** `rememberedForMs`: how long what is revoked here can be good ({@link rememberedForMs}). */
  constructor(rememberedForMs: number) {
    this.#rememberedForMs = rememberedForMs;
  }

  /** What is revoked here can be good for longer from now on, or for less: what is known already is remembered no shorter. */
  rememberFor(ms: number): void {
    this.#rememberedForMs = ms;
    for (const revocation of [...this.#revocations.values()]) this.add(revocation);
  }

  get size(): number {
    return this.#revocations.size;
  }

  all(): Iterable<Revocation> {
    return this.#revocations.values();
  }

  /** What is known of the same subject, token or connection. */
  known(revocation: Revocation): Revocation | undefined {
    return this.#revocations.get(keyOf(revocation));
  }

  /** A revocation from now on, for as long as what it revokes can be good. */
  create(kind: RevocationKind, value: string, nowMs: number): Revocation {
    return { kind, value, atMs: nowMs, untilMs: this.#neededUntilMs({ kind, value, atMs: nowMs }) };
  }

  /** Answers whether that is news. It is remembered for as long as this node needs it, however short the time that it came with. */
  add(revocation: Revocation): boolean {
    const known = this.known(revocation);
    this.#revocations.set(keyOf(revocation), {
      ...revocation,
      atMs: Math.max(revocation.atMs, known?.atMs ?? 0),
      untilMs: Math.max(revocation.untilMs, known?.untilMs ?? 0, this.#neededUntilMs(revocation)),
    });
    return known === undefined || revocation.atMs > known.atMs;
  }

  /** Whether this token, or this connection, is revoked. `iat` counts seconds: what was issued in the same one is revoked too. */
  has({ subject, tokenId, issuedAtMs }: Identity, connection: string): boolean {
    if (this.#revocations.size === 0) return false;
    const ofSubject = this.#revocations.get(keyOf({ kind: 'subject', value: subject }));
    if (ofSubject !== undefined && (issuedAtMs === null || issuedAtMs <= ofSubject.atMs)) return true;
    if (tokenId !== null && this.#revocations.has(keyOf({ kind: 'tokenId', value: tokenId }))) return true;
    return this.#revocations.has(keyOf({ kind: 'connection', value: connection }));
  }

  /**
   * Whether nobody needs it any more. What an older release, or a node whose tokens are good for less, has let end may still be needed here;
   * of an API key it is over then, because the key may be another one since.
   */
  isOver(revocation: Revocation, nowMs: number): boolean {
    if (revocation.untilMs > nowMs) return false;
    return isOfApiKey(revocation) || this.#neededUntilMs(revocation) <= nowMs;
  }

  /** Forgets what is over, and answers what that was. */
  forgetOld(nowMs: number): readonly Revocation[] {
    const old: Revocation[] = [];
    for (const [key, revocation] of this.#revocations) {
      if (revocation.untilMs > nowMs) continue;
      this.#revocations.delete(key);
      old.push(revocation);
    }
    return old;
  }

  #neededUntilMs(revocation: Pick<Revocation, 'kind' | 'value' | 'atMs'>): number {
    return isOfApiKey(revocation) ? forever : revocation.atMs + this.#rememberedForMs;
  }
}

/** A name that no other subject, token or connection has. */
export function keyOf({ kind, value }: Pick<Revocation, 'kind' | 'value'>): string {
  return `${kind}:${value}`;
}

function isOfApiKey({ kind, value }: Pick<Revocation, 'kind' | 'value'>): boolean {
  return kind === 'subject' && value.startsWith(apiKeySubjectPrefix);
}
