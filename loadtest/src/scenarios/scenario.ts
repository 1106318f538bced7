/** A scenario: what it measures, what can be chosen, and the runs that follow from that. */
import { defaultWorkload, type Workload } from '../load/workload.js';
import type { OptionTable, ValuesOf } from './option.js';

/** One load on a fresh deployment. */
export interface Run {
  /** Name of the scenario; scenarios.ts puts it in. */
  readonly scenario: string;
  readonly label: string;
  readonly workload: Workload;
  /** Nodes that are started for it, where no URL is given; more than one share a Redis. */
  readonly nodes: number;
  /** Whether only clients that recover can pass it: then the typed client is used in any case. */
  readonly needsClient: boolean;
  /** Settings for the nodes that are started, `FANFARE_…`. */
  readonly env: Readonly<Record<string, string>>;
}

export interface Scenario<Table extends OptionTable = OptionTable> {
  /** In one sentence, what it shows. */
  readonly about: string;
  readonly options: Table;
  /** A few seconds' worth of it, for the tests. */
  readonly short: Readonly<Record<string, string>>;
  runs(values: ValuesOf<Table>): readonly Run[];
}

export function scenario<const Table extends OptionTable>(declared: Scenario<Table>): Scenario<Table> {
  return declared;
}

/** A run of this workload, on one node unless said otherwise. */
export function run(
  label: string,
  workload: Partial<Workload>,
  rest: Partial<Pick<Run, 'nodes' | 'needsClient' | 'env'>> = {},
): Run {
  return {
    scenario: '',
    label,
    workload: { ...defaultWorkload, ...workload },
    nodes: 1,
    needsClient: false,
    env: {},
    ...rest,
  };
}
