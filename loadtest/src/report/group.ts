/** The rounds of a run on a server, together; runs by scenario. */
import type { LoadResult, ResultFile } from '../load/result.js';

export interface NamedResultFile extends ResultFile {
  readonly name: string;
}

export interface Group {
  readonly scenario: string;
  /** The run: its label, and its file if several files contain the same run. */
  readonly run: string;
  readonly server: string;
  /** The rounds to show: the valid ones, or all if none is valid. */
  readonly rounds: readonly LoadResult[];
  readonly isValid: boolean;
  /** Rounds that were left out because they are invalid. */
  readonly leftOut: number;
  /** Of all servers of the page: which color. */
  readonly color: number;
}

export interface Section {
  readonly scenario: string;
  readonly groups: readonly Group[];
  /** Runs and servers in the order of the results. */
  readonly runs: readonly string[];
  readonly servers: readonly string[];
}

/**
 * Rounds of one file are merged. The same run in another file stays separate, with the name of the file, because its
 * circumstances may have been different.
 */
export function sectionsOf(files: readonly NamedResultFile[]): readonly Section[] {
  const filesOfRun = new Map<string, Set<string>>();
  const each = files.flatMap((file) => file.results.map((result) => ({ file: file.name, result })));
  for (const { file, result } of each) {
    const run = JSON.stringify([result.scenario, result.label]);
    filesOfRun.set(run, (filesOfRun.get(run) ?? new Set()).add(file));
  }
  const groups = new Map<string, { run: string; rounds: LoadResult[] }>();
  for (const { file, result } of each) {
    const { scenario, label, server, workload } = result;
    const isInSeveral = (filesOfRun.get(JSON.stringify([scenario, label]))?.size ?? 0) > 1;
    const key = JSON.stringify([file, scenario, label, server, workload]);
    const group = groups.get(key) ?? { run: isInSeveral ? `${label} (${file})` : label, rounds: [] };
    group.rounds.push(result);
    groups.set(key, group);
  }
  const servers = unique(each.map(({ result }) => result.server));
  const all = [...groups.values()].map(({ run, rounds }) => groupOf(run, rounds, servers));
  return unique(all.map(({ scenario }) => scenario)).map((scenario) => {
    const own = all.filter((group) => group.scenario === scenario);
    return {
      scenario,
      groups: own,
      runs: unique(own.map(({ run }) => run)),
      servers: unique(own.map(({ server }) => server)),
    };
  });
}

function groupOf(run: string, rounds: readonly LoadResult[], servers: readonly string[]): Group {
  const [{ scenario, server } = { scenario: '', server: '' }] = rounds;
  const valid = rounds.filter(({ complaints }) => complaints.length === 0);
  const isValid = valid.length > 0;
  return {
    scenario,
    run,
    server,
    rounds: isValid ? valid : rounds,
    isValid,
    leftOut: isValid ? rounds.length - valid.length : 0,
    color: servers.indexOf(server),
  };
}

/** The name of a line: the server, and the run if a chart shows several. It marks invalid runs. */
export function nameOf(group: Group, runs: readonly string[]): string {
  const name = runs.length > 1 ? `${group.server}, ${group.run}` : group.server;
  return group.isValid ? name : `INVALID: ${name}`;
}

/** A note for the reader of a chart about invalid data in it. */
export function notesOn(groups: readonly Group[]): readonly string[] {
  if (groups.every(({ isValid }) => !isValid))
    return ['All results are INVALID. Do not use the figures; see the warnings above.'];
  return groups.flatMap(({ run, server, isValid, leftOut, rounds }) => {
    if (!isValid) return [`${run}, ${server}: INVALID. Do not use the figures; see the warnings above.`];
    if (leftOut > 0) return [`${run}, ${server}: ${leftOut} of ${leftOut + rounds.length} rounds left out, invalid.`];
    return [];
  });
}

export function unique<Value>(values: readonly Value[]): readonly Value[] {
  return [...new Set(values)];
}
