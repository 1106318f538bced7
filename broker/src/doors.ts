/** Puts together what a node needs to know who its clients are; null where it asks nobody. */
import { randomBytes } from 'node:crypto';
import { NodeApi } from './api/api.js';
import type { AuthStore } from './auth/auth-store.js';
import { createAuthenticator } from './auth/authenticator.js';
import { Hook, type HookCounters } from './auth/hook.js';
import type { JwksCounters } from './auth/jwks.js';
import { MemoryAuthStore } from './auth/memory-auth-store.js';
import { RedisAuthStore, type RedisAuthStoreSettings, reportedForMs } from './auth/redis-auth-store.js';
import { type Revocation, Revocations, rememberedForMs } from './auth/revocations.js';
import { Tickets } from './auth/tickets.js';
import type { Config } from './config.js';
import type { SessionContext, SessionCounters } from './connection/session.js';
import { FileWatch } from './file-watch.js';
import { type Shared, Subjects } from './limits/subjects.js';
import type { Log } from './log.js';
import type { RedisCounters } from './redis.js';

export interface Doors {
  readonly sessions: SessionContext;
  readonly api: NodeApi;
  readonly revocations: Revocations;
  close(): Promise<void>;
}

/** How often what is over is forgotten, and what lasts is said again, in milliseconds. A third of the time for which that holds. */
const choresMs = reportedForMs / 3;

/**
 * `redis`: null for a node that is alone. `onWithdrawn`: something is revoked that was not before, or an issuer has taken back a key. `onFailed`: why a
 * client was not authenticated.
 */
export function openDoors(
  config: Config,
  redis: RedisAuthStoreSettings | null,
  relay: SessionContext['relay'],
  log: Log,
  counters: SessionCounters & RedisCounters & JwksCounters & HookCounters & { ticketsIssued: number },
  onBug: (error: unknown) => void,
  onWithdrawn: () => void,
  onFailed: (reason: string) => void,
): Doors | null {
  const { auth } = config;
  if (auth === null || auth === 'none') return null;
  const authenticator = createAuthenticator(auth, log, counters, onWithdrawn);
  const revocations = new Revocations(rememberedForMs(auth.issuers));
  const learn = (revoked: readonly Revocation[]): void => {
    let isNews = false;
    for (const revocation of revoked) isNews = revocations.add(revocation) || isNews;
    if (isNews) onWithdrawn();
  };
  const store: AuthStore =
    redis === null ? new MemoryAuthStore(learn) : new RedisAuthStore(redis, revocations, learn, log, counters);
  const tickets = new Tickets(store);
  const shared: Shared | null =
    redis === null
      ? null
      : {
          spend: (spendings) => store.spend(spendings),
          enter: (name, count, most) => store.enter(name, count, most),
          report: (counts) => store.report(counts),
        };
  const subjects = new Subjects(config, shared);
  const chores = setInterval(() => {
    store.forget(revocations.forgetOld(Date.now()));
    subjects.report();
  }, choresMs);
  chores.unref();
  const authFiles = new FileWatch(auth.files, () =>
    log.warn(
      { event: 'authFileChanged' },
      'A file of FANFARE_AUTH has changed. The node goes on with what it read at its start: restart it to use the new content.',
    ),
  );
  // Random, so that no other node and no earlier run of this one has the same.
  const run = randomBytes(6).toString('base64url');
  let count = 0;
  return {
    revocations,
    sessions: {
      authenticator,
      tickets,
      revocations,
      store,
      subjects,
      relay,
      hook: auth.hook === null ? null : new Hook(auth.hook, log, counters),
      authTimeoutMs: config.authTimeoutMs,
      counters,
      unauthenticated: 0,
      nextId: () => `${run}-${++count}`,
      onFailed,
      onBug,
    },
    api: new NodeApi({ authenticator, revocations, tickets, store, subjects, counters, log, onBug }),
    async close() {
      clearInterval(chores);
      authFiles.close();
      authenticator.close();
      await store.close();
    },
  };
}
