/** All scenarios, by name, in the order of the help. */
import { absence } from './absence.js';
import { bigPayloads } from './big-payloads.js';
import { burst } from './burst.js';
import { churn } from './churn.js';
import { crossNode } from './cross-node.js';
import { fanIn } from './fan-in.js';
import { fanOut } from './fan-out.js';
import { idle } from './idle.js';
import { manyToMany } from './many-to-many.js';
import { pointToPoint } from './point-to-point.js';
import type { Scenario } from './scenario.js';
import { slow } from './slow.js';
import { soak } from './soak.js';
import { storm } from './storm.js';
import { subscriptions } from './subscriptions.js';

export const scenarios: Readonly<Record<string, Scenario>> = {
  'fan-out': fanOut,
  'fan-in': fanIn,
  'many-to-many': manyToMany,
  'point-to-point': pointToPoint,
  'cross-node': crossNode,
  idle,
  subscriptions,
  churn,
  storm,
  slow,
  'big-payloads': bigPayloads,
  absence,
  burst,
  soak,
};
