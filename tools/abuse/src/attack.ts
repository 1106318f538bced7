/** The definition of an attack: its actions, and the documented answers of the nodes. */

import type { Attackers } from './attackers.js';
import type { Outcome } from './outcome.js';

export interface Attack {
  readonly name: string;
  /** The description for the tables. */
  readonly about: string;
  /** Settings of the nodes that differ from the defaults. Otherwise the attack would need more time or clients. */
  readonly settings: Readonly<Record<string, string>>;
  /** The documented answers of a node. Each must occur. */
  readonly answers: readonly Outcome[];
  /** Other outcomes that may occur. An accepted handshake (101) does not count as an outcome. */
  readonly besides: readonly Outcome[];
  /** The attack lasts at least this long, because the node answers only after some time. */
  readonly leastSeconds: number;
  /** The attack needs this many nodes. */
  readonly leastNodes: number;
  /** Nodes ask a backend about each subscription; it refuses those of `secret.>`. */
  readonly hasHook: boolean;
  /** The link of the last node to Redis can be cut. No control client is on that node. */
  readonly isCutting: boolean;
  run(attackers: Attackers): Promise<void>;
}

type Optional = 'settings' | 'besides' | 'leastSeconds' | 'leastNodes' | 'hasHook' | 'isCutting';

export function attack(given: Omit<Attack, Optional> & Partial<Pick<Attack, Optional>>): Attack {
  return {
    ...{ settings: {}, besides: [], leastSeconds: 0, leastNodes: 1, hasHook: false, isCutting: false },
    ...given,
  };
}
