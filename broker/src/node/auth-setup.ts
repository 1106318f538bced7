/** Puts together what a node needs to know who its clients are; null where it asks nobody. */
import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { NodeApi } from '../api/api.js';
import type { AuthConfig } from '../auth/auth-config.js';
import type { AuthStore } from '../auth/auth-store.js';
import { AuthWatch } from '../auth/auth-watch.js';
import { Authenticator } from '../auth/authenticator.js';
import { Hook, type HookCounters, type HookSettings } from '../auth/hook.js';
import type { JwksCounters } from '../auth/jwks.js';
import { MemoryAuthStore } from '../auth/memory-auth-store.js';
import { RedisAuthStore, type RedisAuthStoreSettings, reportedForMs } from '../auth/redis-auth-store.js';
import { type Revocation, Revocations, rememberedForMs } from '../auth/revocations.js';
import { Tickets } from '../auth/tickets.js';
import { type Shared, Subjects } from '../limits/subjects.js';
import type { Log } from '../observe/log.js';
import type { RedisCounters } from '../redis/redis.js';
import type { SessionContext, SessionCounters } from '../session/session-context.js';
import type { Config } from '../settings/config.js';

export interface Doors {
  readonly sessions: SessionContext;
  readonly api: NodeApi;
  readonly revocations: Revocations;
  /** Whether the files of FANFARE_AUTH hold something that cannot be used. */
  readonly isAuthRefused: boolean;
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
  const authenticator = new Authenticator(auth, log, counters, onWithdrawn);
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
  const hookOf = (settings: HookSettings | null): Hook | null => settings && new Hook(settings, log, counters);
  let used: AuthConfig = auth;
  let hook = hookOf(auth.hook);
  const watch = new AuthWatch(auth, log, (read) => {
    if (!isDeepStrictEqual(read.hook, used.hook)) hook = hookOf(read.hook);
    used = read;
    revocations.rememberFor(rememberedForMs(read.issuers));
    authenticator.replace(read);
  });
  // Random, so that no other node and no earlier run of this one has the same.
  const run = randomBytes(6).toString('base64url');
  let count = 0;
  return {
    revocations,
    get isAuthRefused() {
      return watch.isRefused;
    },
    sessions: {
      authenticator,
      tickets,
      revocations,
      store,
      subjects,
      relay,
      get hook() {
        return hook;
      },
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
      watch.close();
      authenticator.close();
      await store.close();
    },
  };
}
