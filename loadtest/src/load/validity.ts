/**
 * When figures are invalid: each rule is a way in which load tests have misled people. docs/reference/loadtest.md lists
 * them.
 */
import type { LoadResult } from './result.js';
import type { Turns } from './turns.js';

/** CPU share of a generator process above which the results may show the limits of the generator. */
export const mostGeneratorCpu = 0.85;
export const mostSlipP99Us = 20_000;
/** Minimum share of the due connections or subscriptions that were replaced. One more may be due at the very end. */
const leastTurns = 0.95;

/**
 * Prefixes of failures that belong to a scenario: of connections that read nothing on purpose, and of attempts to
 * reconnect.
 */
export const stalledPrefix = 'stalled: ';
export const backPrefix = 'coming back: ';

/** Prefix of the failures of publishers. All other failures belong to subscribers. */
export const publisherPrefix = 'a publisher: ';

/** The meaning of a missing delivery of this load, and its limits. */
const noPromise =
  'None of them was promised: this load publishes without acknowledgement. "npm run verify -- --url" judges acknowledged publications.';

export interface Evidence
  extends Pick<
    LoadResult,
    | 'published'
    | 'deliveries'
    | 'lost'
    | 'lostInWarmUp'
    | 'repeated'
    | 'foreign'
    | 'reported'
    | 'generatorCpu'
    | 'slipP99Us'
    | 'failures'
  > {
  readonly subscribers: number;
  /** Subscribing connections that should have been open at the end but were not. */
  readonly away: number;
  /** Publications that should have been sent. */
  readonly planned: number;
  /** The deliveries of each generator process that has subscribers of the published topics. */
  readonly deliveriesOfShards: readonly number[];
  readonly turns: Turns;
  /** Whether the scenario itself breaks connections: then the generator is busy reconnecting them. */
  readonly breaksConnections: boolean;
}

interface Rule {
  /** The warning, with … for what differs. */
  readonly says: string;
  readonly means: string;
  readonly advice: string;
  /** Warnings in sentences; empty if the rule is kept. */
  readonly find: (evidence: Evidence) => readonly string[];
}

export const validityRules: readonly Rule[] = [
  {
    says: 'Nothing was published.',
    means: 'No publication left the generator.',
    advice: 'With `--url`: may this token publish to `load.>`? Otherwise, read the log of the broker.',
    find: ({ planned, published }) => warnIf(planned > 0 && published === 0, 'Nothing was published.'),
  },
  {
    says: 'Nothing arrived.',
    means: 'Publications were sent, but no subscriber got one.',
    advice: 'May this token subscribe to `load.>`? Do all nodes share one Redis?',
    find: ({ published, deliveries, deliveriesOfShards }) =>
      warnIf(published > 0 && deliveries === 0 && deliveriesOfShards.length > 0, 'Nothing arrived.'),
  },
  {
    says: '… of … clients were not connected at the end.',
    means: 'They lost their connection and did not reconnect, so they got nothing more.',
    advice:
      'Did a node end, or refuse them? The warnings about connections say how they ended. Otherwise, read the log of the broker.',
    find: ({ away, subscribers }) =>
      warnIf(away > 0, `${away} of ${subscribers} clients were not connected at the end.`),
  },
  {
    says: 'Publishers were cut off … times, and … deliveries are missing: what they sent last may never have reached the broker. …',
    means:
      'Subscribers did not get all numbers, and a publisher lost its connection, with publications on their way. The load publishes without acknowledgement.',
    advice:
      'The warning about the publisher says how it was disconnected. Without that, nothing might be missing: fix it first, then repeat the test.',
    find: (evidence) =>
      warnIf(
        evidence.lost > 0 && cutOffs(evidence) > 0,
        `Publishers were cut off ${cutOffs(evidence)} times, and ${evidence.lost} deliveries are missing: what they sent last may never have reached the broker. ${noPromise}`,
      ),
  },
  {
    says: '… deliveries are missing, and subscribers were not notified. …',
    means:
      'Subscribers did not get all numbers, and got no `gap` or `reset`. Only acknowledged publications are promised to arrive; this load is not acknowledged.',
    advice:
      'Was a node or Redis down, restarted or overloaded? Then this is expected; `npm run verify -- --url` checks the promises. Otherwise, with `recoverable` topics, it is a bug: please report it. Plain sockets do not see notifications: use `--client`.',
    find: (evidence) =>
      warnIf(
        evidence.lost > 0 && evidence.reported === 0 && cutOffs(evidence) === 0,
        `${evidence.lost} deliveries are missing, and subscribers were not notified. ${noPromise}`,
      ),
  },
  {
    says: '… deliveries are missing; subscribers were notified … times. …',
    means: 'Publications are lost, and the clients were notified.',
    advice:
      'Expected at level `fast` for clients that were away. Otherwise the history was too short: raise `historySize` or `historyAgeSeconds`.',
    find: (evidence) =>
      warnIf(
        evidence.lost > 0 && evidence.reported > 0 && cutOffs(evidence) === 0,
        `${evidence.lost} deliveries are missing; subscribers were notified ${evidence.reported} times. ${noPromise}`,
      ),
  },
  {
    says: '… deliveries are missing from the warm-up.',
    means: 'Numbers from before the measured time are missing. Those of the measured time are counted separately.',
    advice: 'As above: a problem before the measurement may also affect it.',
    find: ({ lostInWarmUp }) => warnIf(lostInWarmUp > 0, `${lostInWarmUp} deliveries are missing from the warm-up.`),
  },
  {
    says: '… deliveries came twice or out of order: more arrived than was sent.',
    means: 'A number arrived again, or after a later one.',
    advice: 'Does another load test use the same topics? Otherwise it is a bug: please report it.',
    find: ({ repeated }) =>
      warnIf(repeated > 0, `${repeated} deliveries came twice or out of order: more arrived than was sent.`),
  },
  {
    says: '… deliveries do not belong to this load.',
    means: 'Someone else publishes to `load.…`.',
    advice: 'Stop the other load, or wait until its history has expired.',
    find: ({ foreign }) => warnIf(foreign > 0, `${foreign} deliveries do not belong to this load.`),
  },
  {
    says: 'A generator process used … of a CPU: it may be what was measured. Use more of them (--generators) or less load.',
    means: 'The generator may have caused the latencies, and it could not produce a higher load.',
    advice:
      'Use more `--generators` if there are cores for them. Otherwise use less load, or a separate machine for the generator.',
    find: ({ generatorCpu }) =>
      warnIf(
        generatorCpu > mostGeneratorCpu,
        `A generator process used ${percent(generatorCpu)} of a CPU: it may be what was measured. Use more of them (--generators) or less load.`,
      ),
  },
  {
    says: '1 % of the publications left … ms late or later: the schedule was not kept.',
    means: 'The generator could not send on time. The latencies include its delay.',
    advice:
      'The machine is busy, or has too few cores. Try again without other load, with more `--generators`, or with less load.',
    find: ({ slipP99Us, breaksConnections }) =>
      warnIf(
        slipP99Us > mostSlipP99Us && !breaksConnections,
        `1 % of the publications left ${Math.round(slipP99Us / 1_000)} ms late or later: the schedule was not kept.`,
      ),
  },
  {
    says: 'Only … of … connections or subscriptions were replaced in time: there was less churn than requested.',
    means: 'Replacing one took so long that the next ones had to wait or were skipped.',
    advice:
      'The broker or the generator cannot do that many per second. Request fewer, or use more subscribers or `--generators`.',
    find: ({ turns: { planned, done } }) =>
      warnIf(
        done < planned * leastTurns - 1,
        `Only ${done} of ${planned} connections or subscriptions were replaced in time: there was less churn than requested.`,
      ),
  },
  {
    says: 'A generator process got nothing, while others did.',
    means: 'Some subscribers did not receive the stream.',
    advice: 'Check the nodes of its subscribers: can each of them reach Redis?',
    find: ({ deliveries, deliveriesOfShards }) =>
      warnIf(
        deliveries > 0 && deliveriesOfShards.some((count) => count === 0),
        'A generator process got nothing, while others did.',
      ),
  },
  {
    says: 'All generator processes stopped at the same count: a ceiling of the generator, or a loss that hit all alike.',
    means: 'Something was lost, and all processes counted exactly the same.',
    advice: 'Look for a limit that all of them share (open files, ports, memory), then check the broker.',
    find: ({ lost, deliveriesOfShards }) =>
      warnIf(
        lost > 0 &&
          deliveriesOfShards.length > 1 &&
          deliveriesOfShards.every((count) => count === deliveriesOfShards[0]),
        'All generator processes stopped at the same count: a ceiling of the generator, or a loss that hit all alike.',
      ),
  },
  {
    says: '… times: …',
    means: 'Connections failed, although the scenario does not break them. The reason is after the colon.',
    advice:
      'The reason says: refused, closed with a code (see PROTOCOL.md), or no answer. Has the load balancer, or the number of open files, reached a limit?',
    find: ({ failures }) =>
      Object.entries(failures)
        .filter(([failure]) => !failure.startsWith(stalledPrefix) && !failure.startsWith(backPrefix))
        .map(([failure, count]) => `${count} times: ${failure}`),
  },
];

/** Why the figures are invalid, in sentences; empty if they are valid. */
export function findComplaints(evidence: Evidence): string[] {
  return validityRules.flatMap(({ find }) => find(evidence));
}

function cutOffs({ failures }: Evidence): number {
  return Object.entries(failures).reduce(
    (sum, [failure, times]) => (failure.startsWith(publisherPrefix) ? sum + times : sum),
    0,
  );
}

function warnIf(isSo: boolean, warning: string): readonly string[] {
  return isSo ? [warning] : [];
}

function percent(share: number): string {
  return `${Math.round(share * 1_000) / 10} %`;
}
