/** A scenario: what it measures, its options, and the run that they describe. */
import { defaultWorkload, type Workload } from '../load/workload.js';
import { type NumbersOf, readOptions, type ScenarioOptions } from './option.js';

/** One load on a fresh deployment. */
export interface Run {
  /** Name of the scenario; {@link runsOf} puts it in. */
  readonly scenario: string;
  readonly label: string;
  readonly workload: Workload;
  /** The number of nodes to start if no URL is given. Several nodes share a Redis. */
  readonly nodes: number;
  /** Whether only clients that recover can pass the scenario. If so, it always uses the typed client. */
  readonly needsClient: boolean;
  /** Settings for the nodes that are started, `FANFARE_…`. */
  readonly env: Readonly<Record<string, string>>;
  /** Loads that run before this one, one after the other. Their connections stay open, and get nothing more. */
  readonly before: readonly Workload[];
}

export interface Scenario<Table extends ScenarioOptions = ScenarioOptions> {
  /** In one sentence, what it shows. */
  readonly about: string;
  readonly options: Table;
  /** A few seconds' worth of it, for the tests. */
  readonly short: Readonly<Record<string, string>>;
  run(values: NumbersOf<Table>): Run;
}

export function scenario<const Table extends ScenarioOptions>(declared: Scenario<Table>): Scenario<Table> {
  return declared;
}

/** A run of this workload, on one node unless said otherwise. */
export function run(
  label: string,
  workload: Partial<Workload>,
  rest: Partial<Pick<Run, 'nodes' | 'needsClient' | 'env' | 'before'>> = {},
): Run {
  const whole = { ...defaultWorkload, ...workload };
  return {
    scenario: '',
    label,
    workload: whole,
    nodes: 1,
    needsClient: false,
    env: limitsFor(whole),
    before: [],
    ...rest,
  };
}

type Shared = Partial<Pick<Workload, 'topics' | 'subscribers' | 'publishers' | 'burst' | 'seconds'>> & {
  readonly rate?: number;
  readonly bytes?: number;
  readonly nodes?: number;
};

/**
 * A run with the values of the options that mean the same in every scenario, and with what else belongs to the
 * workload.
 */
export function runOf(
  label: string,
  { rate = 0, bytes, nodes = 1, ...same }: Shared,
  workload: Partial<Workload> = {},
): Run {
  const size = bytes === undefined ? {} : { publicationBytes: bytes };
  return run(label, { ...same, ...size, perSecond: rate, ...workload }, { nodes });
}

/**
 * A run for each combination of the values. If the label of the scenario does not distinguish them, the value follows
 * it. `mark` precedes the names of options in errors.
 */
export function runsOf(
  name: string,
  { options, run: makeRun }: Scenario,
  given: Readonly<Record<string, string>>,
  mark = '--',
): readonly Run[] {
  const combinations = readOptions(options, given, mark);
  const unnamed = Object.keys(options).filter((option) => {
    const values = new Set(combinations.map((combination) => combination[option] as number));
    const labels = new Set([...values].map((value) => makeRun({ ...combinations[0], [option]: value }).label));
    return labels.size < values.size;
  });
  return combinations.map((combination) => {
    const made = makeRun(combination);
    const label = [made.label, ...unnamed.map((option) => `${option} ${combination[option]}`)].join(', ');
    return { ...made, scenario: name, label };
  });
}

/** The size of a command without its data. */
const commandBytes = 1_024;

/** Limits of a node that the load would exceed, raised. Other limits keep their defaults. */
function limitsFor({ publicationBytes, topics, subscriptions }: Workload): Readonly<Record<string, string>> {
  const each = subscriptions.name === 'all' ? topics : subscriptions.name === 'some' ? subscriptions.topics : 1;
  return {
    ...(publicationBytes + commandBytes > 65_536
      ? { FANFARE_MAX_FRAME_BYTES: String(publicationBytes + commandBytes) }
      : {}),
    ...(each > 512 ? { FANFARE_MAX_SUBSCRIPTIONS: String(each) } : {}),
  };
}
