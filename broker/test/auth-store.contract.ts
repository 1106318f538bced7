/** What every store of the doors promises. */
import { describe, expect, it } from 'vitest';
import type { AuthStore } from '../src/auth/auth-store.js';
import type { Revocation } from '../src/auth/revocations.js';
import { until } from './wait.js';

export interface OpenedStore {
  readonly store: AuthStore;
  /** What it has told of. */
  readonly revoked: readonly Revocation[];
}

export function authStoreContract(name: string, open: () => Promise<OpenedStore>): void {
  describe(`${name}, as any store`, () => {
    it('tells of a revocation', async () => {
      const { store, revoked } = await open();
      const revocation: Revocation = { kind: 'subject', value: 'ada', atMs: Date.now(), untilMs: Date.now() + 60_000 };
      await store.revoke(revocation);
      await until('it is told', () => revoked.length > 0);
      expect(revoked[0]).toEqual(revocation);
    });

    it('revokes here before anything else, and says when that is done', async () => {
      const { store, revoked } = await open();
      const revocation: Revocation = { kind: 'tokenId', value: 't', atMs: Date.now(), untilMs: Date.now() + 60_000 };
      const done = store.revoke(revocation);
      expect(revoked).toEqual([revocation]);
      await done;
    });

    it('knows what is revoked, and how long ago it knew', async () => {
      const { store } = await open();
      await until('it is current', () => store.isCurrent);
      expect(store.revocationLagMs).toBeGreaterThanOrEqual(0);
    });

    it('gives what it keeps once, and only under its name', async () => {
      const { store } = await open();
      await store.keep('a', 'what it is', 60_000);
      expect(await store.take('b')).toBeNull();
      expect(await store.take('__proto__')).toBeNull();
      expect(await store.take('a')).toBe('what it is');
      expect(await store.take('a')).toBeNull();
    });

    it('gives it to one of many who ask at once', async () => {
      const { store } = await open();
      await store.keep('a', 'v', 60_000);
      const taken = await Promise.all(Array.from({ length: 20 }, () => store.take('a')));
      expect(taken.filter((value) => value !== null)).toEqual(['v']);
    });

    it('forgets what is too old', async () => {
      const { store } = await open();
      await store.keep('a', 'v', 1);
      await until('it is gone', async () => {
        const value = await store.take('a');
        if (value !== null) await store.keep('a', 'v', 1);
        return value === null;
      });
    });
  });
}
