/** Creates the parts that authenticate clients and limit what they may do. Loaded only if authentication is on. */
import { isDeepStrictEqual } from 'node:util';
import { nanoid } from 'nanoid';
import { NodeApi } from '../api/api.js';
import type { AuthConfig, AuthSetting } from '../auth/auth-config.js';
import { type AuthStore, type OnRevoked, reportedForMs } from '../auth/auth-store.js';
import { AuthWatch } from '../auth/auth-watch.js';
import { Authenticator } from '../auth/authenticator.js';
import { Hook, type HookSettings } from '../auth/hook.js';
import { MemoryAuthStore } from '../auth/memory-auth-store.js';
import { keptForMs, Revocations } from '../auth/revocations.js';
import { StreamCredentials } from '../auth/stream-credentials.js';
import { Tickets } from '../auth/tickets.js';
import { type Shared, Subjects } from '../limits/subjects.js';
import type { Log } from '../observe/log.js';
import type { Counters } from '../observe/metrics.js';
import type { SessionContext } from '../session/session-context.js';
import type { Config } from '../settings/config.js';

export interface Auth {
  readonly sessions: SessionContext;
  readonly api: NodeApi;
  readonly revocations: Revocations;
  /** Whether the files of FANFARE_AUTH are unusable, so that the node keeps the previous configuration. */
  readonly isRefused: boolean;
  close(): Promise<void>;
}

/** The other parts of the node, as authentication needs them. */
export interface AuthParts {
  readonly relay: SessionContext['relay'];
  readonly log: Log;
  readonly counters: Counters;
  /** Opens the store that all nodes share; null for a single node. */
  readonly openStore: ((known: Revocations, onRevoked: OnRevoked) => AuthStore) | null;
  /** Called for an unexpected error: a bug. */
  onBug(error: unknown): void;
  /** Called when something new is revoked, or when an issuer has removed a key. */
  onAccessChange(): void;
  /** Called with the reason for each failed authentication. */
  onFailed(reason: string): void;
}

/** How often expired revocations are removed, and connections reported, in milliseconds. */
const choresMs = reportedForMs / 3;

export function openAuth(auth: AuthSetting, config: Config, parts: AuthParts): Auth {
  const { relay, log, counters, openStore, onBug, onAccessChange, onFailed } = parts;
  const authenticator = new Authenticator(auth, log, counters, onAccessChange);
  const revocations = new Revocations(keptForMs(auth.issuers));
  const onRevoked: OnRevoked = (revoked) => {
    let isNew = false;
    for (const revocation of revoked) isNew = revocations.add(revocation) || isNew;
    if (isNew) onAccessChange();
  };
  const store = openStore === null ? new MemoryAuthStore(onRevoked) : openStore(revocations, onRevoked);
  const tickets = new Tickets(store);
  const shared: Shared | null =
    openStore === null
      ? null
      : {
          spend: (spendings) => store.spend(spendings),
          admit: (name, count, most) => store.admit(name, count, most),
          report: (counts) => store.report(counts),
        };
  const subjects = new Subjects(config, shared);
  const chores = setInterval(() => {
    store.forget(revocations.removeExpired(Date.now()));
    subjects.report();
  }, choresMs);
  chores.unref();
  const hookOf = (settings: HookSettings | null): Hook | null => settings && new Hook(settings, log, counters);
  let current: AuthConfig = auth;
  let hook = hookOf(auth.hook);
  const watch = new AuthWatch(auth, log, (next) => {
    if (!isDeepStrictEqual(next.hook, current.hook)) hook = hookOf(next.hook);
    current = next;
    revocations.keepFor(keptForMs(next.issuers));
    authenticator.replace(next);
  });
  // Random, so that no other node and no earlier run of this one uses the same names.
  const run = nanoid(8);
  let count = 0;
  return {
    revocations,
    get isRefused() {
      return watch.isRefused;
    },
    sessions: {
      authenticator,
      tickets,
      streamCredentials: new StreamCredentials(store, authenticator),
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
    api: new NodeApi({ authenticator, revocations, tickets, store, subjects, counters, log }),
    async close() {
      clearInterval(chores);
      watch.close();
      authenticator.close();
      await store.close();
    },
  };
}
