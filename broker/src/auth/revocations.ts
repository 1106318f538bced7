/** Who may not be here any more, although the token says so: by subject, by token, by connection. */
import type { Identity } from './identity.js';

export const revocationKinds = ['subject', 'tokenId', 'connection'] as const;
export type RevocationKind = (typeof revocationKinds)[number];

export interface Revocation {
  readonly kind: RevocationKind;
  readonly value: string;
  /** When it was revoked, milliseconds since the epoch: what a subject is issued later is good. */
  readonly atMs: number;
  /** Until when it has to be remembered, milliseconds since the epoch: no token from before is good any more then. */
  readonly untilMs: number;
}

/** What is revoked now, as this node knows it. */
export class Revocations {
  readonly #revocations = new Map<string, Revocation>();

  get size(): number {
    return this.#revocations.size;
  }

  all(): Iterable<Revocation> {
    return this.#revocations.values();
  }

  /** Answers whether that is news. */
  add(revocation: Revocation): boolean {
    const key = keyOf(revocation.kind, revocation.value);
    const known = this.#revocations.get(key);
    this.#revocations.set(key, {
      ...revocation,
      atMs: Math.max(revocation.atMs, known?.atMs ?? 0),
      untilMs: Math.max(revocation.untilMs, known?.untilMs ?? 0),
    });
    return known === undefined || revocation.atMs > known.atMs;
  }

  /** Whether this token, or this connection, is revoked. `iat` counts seconds: what was issued in the same one is revoked too. */
  has({ subject, tokenId, issuedAtMs }: Identity, connection: string): boolean {
    if (this.#revocations.size === 0) return false;
    const ofSubject = this.#revocations.get(keyOf('subject', subject));
    if (ofSubject !== undefined && (issuedAtMs === null || issuedAtMs <= ofSubject.atMs)) return true;
    if (tokenId !== null && this.#revocations.has(keyOf('tokenId', tokenId))) return true;
    return this.#revocations.has(keyOf('connection', connection));
  }

  /** Forgets what is over. */
  forgetOld(nowMs: number): void {
    for (const [key, { untilMs }] of this.#revocations) if (untilMs <= nowMs) this.#revocations.delete(key);
  }
}

function keyOf(kind: RevocationKind, value: string): string {
  return `${kind}:${value}`;
}
