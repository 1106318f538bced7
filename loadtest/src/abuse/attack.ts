/** What an attack is: what is done to a node, and what the node is documented to answer. */
import type { Outcome } from './outcome.js';
import type { Raid } from './raid.js';

export interface Attack {
  readonly name: string;
  /** What is done, for the tables. */
  readonly about: string;
  /** Settings of the node that are not the defaults, because the attack would need them, or more time or clients. */
  readonly settings: Readonly<Record<string, string>>;
  /** What the documents say that the node answers: each must be seen. */
  readonly answers: readonly Outcome[];
  /** What may be seen beside it. An opening handshake that is let in (101) always may. */
  readonly besides: readonly Outcome[];
  /** It takes so long until the node answers. */
  readonly leastSeconds: number;
  run(raid: Raid): Promise<void>;
}

type Optional = 'settings' | 'besides' | 'leastSeconds';

export function attack(given: Omit<Attack, Optional> & Partial<Pick<Attack, Optional>>): Attack {
  return { settings: {}, besides: [], leastSeconds: 0, ...given };
}
