/** What a fault is, and what it may lay hands on. */

import type { Balancer } from '@fanfare/local-cluster';
import type { Load } from '../checker/load.js';
import type { SubscriberGroup } from '../checker/subscriber-group.js';
import type { TopicPlan } from '../checker/subscribers.js';
import type { Resets } from '../checker/verdict.js';
import type { ClusterUnderTest, ProxyPlace, ReplicaPlace } from '../cluster/cluster-under-test.js';

export type Fault = SimpleFault | PreparedFault;

interface FaultDescription {
  readonly name: string;
  /** What happens, and how it is undone, in one sentence. */
  readonly about: string;
  /** Whether subscribers may get `gap` and `reset` events: only if the fault deletes the history. */
  readonly resets: Resets;
  /** Whether nodes should notice that the way to Redis is not what it was. */
  readonly isDetectable?: boolean;
  /** More arguments for `redis-server`. */
  readonly redisArgs?: readonly string[];
  /** Which replica Redis has, whatever the level; a `durable` topic always has one. */
  readonly replica?: ReplicaPlace;
  /** The place of a proxy, if the fault needs one. */
  readonly proxy?: ProxyPlace;
  /** Publications that topics keep, where the usual number is too small. */
  readonly historySize?: number;
  /** By how many seconds the wall clock of Redis is ahead at first; then it is one that can be moved (fake-clock.ts). */
  readonly clockAheadSeconds?: number;
  /** Whether it adds its own clients, `--clients` of them. */
  readonly addsClients?: boolean;
}

/** Makes the fault and undoes it. What it throws is reported as a problem: a fault that could not be made proves nothing. */
export interface SimpleFault extends FaultDescription {
  strike(environment: FaultEnvironment): Promise<void>;
}

/** A fault that needs preparation before the load begins. */
export interface PreparedFault extends FaultDescription {
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
  /** How long a fault that can last any time should last. */
  readonly faultMs: number;
  /** Clients that a fault adds; null: as many as it likes. */
  readonly clients: number | null;
  /**
   * A further topic with a stream of its own; `burst` publications leave together (default: 1). The load is stopped with the others,
   * but has to be started.
   */
  addTopic(name: string, bytes: number, perSecond: number, burst?: number): TopicPlan & { readonly load: Load };
  /** Let go of when all is over. */
  use<Part extends AsyncDisposable>(part: Part): Part;
  /** Watched and judged as the others are, and let go of when all is over. */
  addGroup(group: SubscriberGroup, name: string): void;
  published(stream: number): number;
  /** A sentence for the report. */
  note(sentence: string): void;
  /** A sentence that makes the verdict bad. */
  reportProblem(sentence: string): void;
}
