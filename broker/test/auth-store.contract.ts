/** What every auth store promises. */
import { describe, expect, it } from 'vitest';
import { type AuthStore, clusterKeyBytes } from '../src/auth/auth-store.js';
import type { Revocation } from '../src/auth/revocations.js';
import { until } from './wait.js';

export interface OpenedStore {
  readonly store: AuthStore;
  /** Revocations that it has emitted. */
  readonly revoked: readonly Revocation[];
}

export function authStoreContract(name: string, open: () => Promise<OpenedStore>): void {
  describe(name, () => {
    it('emits a revocation', async () => {
      const { store, revoked } = await open();
      const revocation: Revocation = { kind: 'subject', value: 'ada', atMs: Date.now(), untilMs: Date.now() + 60_000 };
      await store.revoke(revocation);
      await until('the store emits the revocation', () => revoked.length > 0);
      expect(revoked[0]).toEqual(revocation);
    });

    it('revokes on its own node before anything else, and resolves when the revocation is stored', async () => {
      const { store, revoked } = await open();
      const revocation: Revocation = { kind: 'tokenId', value: 't', atMs: Date.now(), untilMs: Date.now() + 60_000 };
      const done = store.revoke(revocation);
      expect(revoked).toEqual([revocation]);
      await done;
    });

    it('knows the revocations, and how old its list is', async () => {
      const { store } = await open();
      await until('the store is current', () => store.isCurrent);
      expect(store.revocationLagMs).toBeGreaterThanOrEqual(0);
    });

    it('has a secret key that stays the same', async () => {
      const { store } = await open();
      const [all, again] = await Promise.all([store.clusterKeys(), store.clusterKeys()]);
      expect(all).toEqual(again);
      expect(all[0]).toHaveLength(clusterKeyBytes);
      expect(new Set(all[0]).size).toBeGreaterThan(8);
    });

    it('returns an issued value once, and only under its name', async () => {
      const { store } = await open();
      await store.keep('a', 'what it is', 60_000);
      expect(await store.take('b')).toBeNull();
      expect(await store.take('__proto__')).toBeNull();
      expect(await store.take('a')).toBe('what it is');
      expect(await store.take('a')).toBeNull();
    });

    it('returns a stored value to only one of many concurrent requests', async () => {
      const { store } = await open();
      await store.keep('a', 'v', 60_000);
      const taken = await Promise.all(Array.from({ length: 20 }, () => store.take('a')));
      expect(taken.filter((value) => value !== null)).toEqual(['v']);
    });

    it('does not return expired values', async () => {
      const { store } = await open();
      await store.keep('a', 'v', 1);
      await until('the value has expired', async () => {
        const value = await store.take('a');
        if (value !== null) await store.keep('a', 'v', 1);
        return value === null;
      });
    });
  });
}
