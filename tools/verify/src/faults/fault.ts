/** What a fault is, and the parts of a run that it may use. */

import type { Balancer } from '@fanfare/local-cluster';
import type { Load } from '../checker/load.js';
import type { VerifyTopic } from '../checker/numbered.js';
import type { SubscriberGroup } from '../checker/subscriber-group.js';
import type { TopicPlan } from '../checker/subscriber-logs.js';
import type { Resets } from '../checker/verdict.js';
import type { ClusterUnderTest, ProxyPlace } from '../cluster/cluster-under-test.js';
import type { ReplicaPlace } from '../cluster/one-redis.js';
import type { Placement } from '../cluster/placement.js';

export type Fault = SimpleFault | PreparedFault;

interface FaultDescription {
  readonly name: string;
  /** What happens, and how it is undone, in one sentence. */
  readonly about: string;
  /** Whether subscribers may get `gap` and `reset` events: only if the fault deletes the history. */
  readonly resets: Resets;
  /** The placements of Redis (`--redis`) with which it can happen. */
  readonly placements: readonly Placement[];
  /** Whether nodes should notice that their connection to Redis has a problem. */
  readonly isDetectable?: boolean;
  /** More arguments for `redis-server`. */
  readonly redisArgs?: readonly string[];
  /**
   * How replicas follow the first Redis master, for topics of every level. `durable` topics and the placements
   * `sentinel`, `sentinel-shards` and `cluster` always have replicas.
   */
  readonly replica?: ReplicaPlace;
  /** The place of a proxy, if the fault needs one. */
  readonly proxy?: ProxyPlace;
  /** Publications that topics keep, if the usual number is too small. */
  readonly historySize?: number;
  /**
   * By how many seconds the wall clock of the first Redis master is ahead. If set, the fault can move that clock
   * (fake-clock.ts).
   */
  readonly clockAheadSeconds?: number;
  /** Whether it adds its own clients, `--clients` of them. */
  readonly addsClients?: boolean;
}

/** Causes the fault and undoes it. An error is reported as a problem: a fault that did not happen proves nothing. */
interface SimpleFault extends FaultDescription {
  strike(environment: FaultEnvironment): Promise<void>;
}

/** A fault that needs preparation before the load begins. */
interface PreparedFault extends FaultDescription {
  prepare(environment: FaultEnvironment): Promise<Act>;
}

export interface Act {
  /** As {@link SimpleFault.strike}. */
  strike(): Promise<void>;
}

export interface FaultEnvironment {
  readonly cluster: ClusterUnderTest;
  /** In front of all nodes. */
  readonly balancer: Balancer;
  /** Length of a fault that has no length of its own. */
  readonly faultMs: number;
  /** Clients that a fault adds; null: the fault decides. */
  readonly clients: number | null;
  /**
   * Another topic with its own stream; `burst` publications are sent together (default: 1). Its load stops with the
   * others, but must be started separately.
   */
  addTopic(name: string, bytes: number, perSecond: number, burst?: number): TopicPlan & { readonly load: Load };
  /** Disposes of the part at the end of the run. */
  use<Part extends AsyncDisposable>(part: Part): Part;
  /** Adds a group that is watched and judged like the others, and disposed of at the end. */
  addGroup(group: SubscriberGroup, name: string): void;
  published(stream: number): number;
  /**
   * The fault must not affect these topics: the verdict is bad if a publication of them waits for long or fails, and
   * the report shows their latency.
   */
  expectUnaffected(topics: ReadonlySet<VerifyTopic>): void;
  /**
   * Resolves once each topic of {@link expectUnaffected} has had an acknowledgement of a publication that was sent since
   * the fault began; rejects after a minute. Await it before the fault is undone.
   */
  untilOthersServed(): Promise<void>;
  /**
   * Carries out an action during the load. Resolves a second later with the time that it took, and the longest time for
   * which a publication that was sent meanwhile waited for its outcome. In whole milliseconds.
   */
  longestWait(action: () => Promise<void>): Promise<{ readonly tookMs: number; readonly waitMs: number }>;
  /** How long publications may wait that the fault must not affect, in milliseconds; null: this is not judged. */
  readonly maxWaitMs: number | null;
  /** Adds a sentence to the report. */
  note(sentence: string): void;
  /** Adds a sentence that makes the verdict bad. */
  reportProblem(sentence: string): void;
}
