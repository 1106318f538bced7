/** docs/loadtest.md, from the tables of the code: scenarios, columns, rules of validity, the schema of results. */
import { z } from 'zod';
import { resultParts } from '../load/result.js';
import { validityRules } from '../load/validity.js';
import { loadColumns } from '../report/load-table.js';
import { scenarios } from '../scenarios/scenarios.js';
import { servers } from '../servers/servers.js';
import { commonOptions } from './load-command-line.js';

export function loadtestPage(): string {
  return `# Load tests

<!-- Generated from loadtest/src by \`npm run docs\`; the words between the tables stand in loadtest/src/command-line/loadtest-page.ts. -->

How much does a node carry, how late are publications then, what does a connection cost, and what happens when many clients come
back at once? \`npm run loadtest\` puts a load on servers that it starts itself, or on your own deployment, and says what came of it and
whether the figures can be trusted. What was measured so far stands in [performance.md](performance.md).

## A first run

\`\`\`sh
npm ci
npm run loadtest -- fan-out --subscribers 100,1000 --rounds 3 --json result.json --html report.html
\`\`\`

starts a node, puts one topic with 100 and then 1,000 subscribers on it, three times each, prints a table and writes a page with
charts. \`npm run loadtest -- fan-out --help\` shows the options of a scenario. It runs on Linux, for it reads \`/proc\`. It ends with code 0 if all
results are valid, 1 if one is not or something failed, 2 if the command is wrong. Stopped with Ctrl+C (code 130) or SIGTERM (143), it ends what it has started and
keeps the results of the runs that had ended.

To see what Fanfare adds to the floor, put it beside raw uWebSockets: \`--servers fanfare,fanfare-fast,raw\`. Servers take turns, so that what
disturbs the machine disturbs all alike:

${rows(
  ['server', 'what it is'],
  Object.entries(servers).map(([name, { about }]) => [`\`${name}\``, about]),
)}

## Your own deployment

\`\`\`sh
npm run loadtest -- fan-out --url wss://broker.example/ws --token "$TOKEN" --subscribers 5000 --rate 40 --seconds 60
\`\`\`

The token must be allowed to subscribe and to publish to \`load.>\`; take an API key, for a user may have 20 connections and 50 publications a second, and give the nodes
\`FANFARE_MAX_CONNECTIONS_PER_ADDRESS=0\` and a large \`FANFARE_HANDSHAKES_PER_SECOND\` for the time of the test. The typed client (\`--client\`) cannot bring a token yet. It is left out of the result file. Topics have the level that your policies give
them; \`--encoding json\` and \`--client\` (the typed client instead of bare sockets) choose how clients speak. CPU and memory of servers that run elsewhere are not
seen: take them from [their metrics](observability.md) or from your platform while the load runs.

**Make the load from another machine** than the servers', with a clock of its own: latency is measured between two clients of the same
generator, so clocks need not agree. One address has 28,000 ports to one server; for more connections run more generators in several places.

### In Kubernetes

[k8s/components/load-test/job.yaml](../k8s/components/load-test/job.yaml) is a Job that runs a plan from a ConfigMap against the service \`fanfare\` and ends, Complete if all results are valid, else Failed. It needs the
image \`fanfare-loadtest:0.1.0\`:

\`\`\`sh
docker build -f loadtest/Dockerfile -t fanfare-loadtest:0.1.0 .   # push it where the cluster finds it
kubectl apply -f k8s/components/load-test/job.yaml
kubectl logs --follow --pod-running-timeout=2m job/fanfare-loadtest | tee loadtest.log
sed -n '/^{$/,/^}$/p' loadtest.log > result.json              # --json=- writes the results behind the table
npm run loadtest -- report result.json --html report.html
\`\`\`

## Several scenarios: a plan

\`npm run loadtest -- plan plan.yaml\` carries out a list, in YAML or JSON. Each item names a scenario, and its options where they are not the default. The
[options of all scenarios](#options-of-all-scenarios) are for the whole plan: \`--url\`, \`--token\`, \`--client\`, \`--rounds\` and the others stand on the command line.

\`\`\`yaml
- scenario: fan-out
  subscribers: [100, 1000, 5000]
  rate: 40
- scenario: storm
  subscribers: 2000
\`\`\`

## Curves, and the highest rate

Each option of a scenario takes several values, separated by commas, and makes one run for each; of several such options one for each combination. A page with the curve of
throughput against latency, and one with memory against connections:

\`\`\`sh
npm run loadtest -- fan-out --rate 20,40,80,160,320 --html rates.html
npm run loadtest -- idle --subscribers 1000,2000,5000,10000 --html memory.html
\`\`\`

\`--find-max-rate\` looks for the highest rate that holds (the maximum sustainable throughput): it begins at \`--rate\`, doubles it until a run does not hold, and bisects until the rate that held and the
one that did not are within 5 %. A rate holds if the run is valid and 99 % of its deliveries took no longer than \`--max-p99-ms\`. The whole is about ten runs of \`--seconds\` each.

\`\`\`sh
npm run loadtest -- fan-out --find-max-rate --max-p99-ms 50 --html highest.html
\`\`\`

It ends with the rate and what stopped the next one: how much of a CPU servers, Redis and generator used, and whether the limit was the generator's. **That of the generator says nothing of the
server**, only that it carries at least as much: give it more \`--generators\` and CPUs, best on another machine. What does not hold is tried again, \`--rounds\` times, for others may
have disturbed the machine. The code is 0 if some rate held.

## How to size a cluster

1. Find the scenario that is most like your traffic, and give it your numbers: connections, topics, publications a second, bytes.
2. Start with a tenth of it on one node and raise it (\`--subscribers 500,1000,2000,5000\`, or \`--find-max-rate\`). The chart of throughput against latency bends upwards where a node
   is full; so does the column \`server CPU\` come near 100 %.
3. Plan for 60 % of that on each node: while one is deployed or lost, the others carry its clients too. \`storm\` with the share that one node has shows how long
   they take to come back.
4. Memory: \`idle\` with several numbers of subscribers; the slope is what a connection costs, to which the kernel adds its socket buffers.
5. More nodes: \`cross-node\` shows what each further node costs, and the share of Redis, which all of them have in common.

## Options of all scenarios

${rows(
  ['option', 'what it is', 'default'],
  Object.entries(commonOptions).map(([name, option]) => [
    `\`--${name}\``,
    option.about,
    'fallback' in option ? `\`${option.fallback}\`` : '',
  ]),
)}

## Scenarios

Each option takes several values, separated by commas: one run for each, or for each combination where several options have several.

${Object.entries(scenarios)
  .map(
    ([name, { about, options }]) => `### ${name}

${about}

${rows(
  ['option', 'what it is', 'default'],
  Object.entries(options).map(([flag, option]) => [`\`--${flag}\``, option.about, `\`${option.fallback}\``]),
)}`,
  )
  .join('\n\n')}

## How to read the table

Each round of each run on each server is a line; where that is too wide for the terminal, a column. What nobody can say of any of them is left out.

${rows(
  ['column', 'what it is'],
  loadColumns.map(({ title, about }) => [title, about]),
)}

## When figures say nothing

A complaint below the table makes a result invalid, and the command ends with code 1. Do not use the figures of such a round, however good they look.

${rows(
  ['complaint', 'what it means', 'what to do'],
  validityRules.map(({ says, means, advice }) => [says, means, advice]),
)}

## The report

\`--html report.html\` writes a page that needs no network. \`npm run loadtest -- report result.json --html report.html\` makes it again from
results that \`--json\` has written; of several files (\`report before.json after.json --html both.html\`) it makes one page, in which a run that stands in more
than one of them has a line for each, with the file's name. At its head stand the machine, the command, the complaints and the table. For each scenario it
shows the charts that its results can fill:

- **Latency by percentile**, one line for each run and server; and the time until connections were back, where they broke. The distance from 90 % to 99 % is that from 99 % to 99.9 %, so the rare slow ones are
  seen as well as the many fast ones.
- **Throughput against latency**, where runs differ in throughput: a mark for the median and one for the 99th percentile of each round.
- **Server CPU for each delivery**, servers side by side: the median of the rounds, lowest to highest as a whisker.
- **Memory against connections**, where runs differ in them.
- **The course** of each run: published, delivered, connected, server CPU, twice a second. For scenarios that disturb something it is open, and says when what happened; else it opens on demand.

Rounds that are invalid are left out of charts, with a note, where the run has valid ones too; where it has none, it is drawn faint under the word INVALID. Below each chart stand its numbers; a
button of the legend switches a line off.

## How it measures

- **Open loop.** Publications have a schedule and leave on it whatever has become of those before; a slow server does not slow the load down. What the generator itself could not
  send in time is counted (\`slipP99Us\`), and more than 20 ms of it makes the run invalid, unless the scenario breaks connections: then the generator is busy with them.
- **Latency counts from the intended time** of a publication, which it carries, to its arrival: if everything stands still for a second, all that was due in that second was late, and is counted as late (no coordinated omission).
- **Sequence numbers.** What one publisher sends to one topic is a stream, numbered without holes. For each stream each subscriber knows the next number: a loss, a repetition
  or a wrong order is seen at each of them. When the load has ended the generator waits until all has come, or nothing has for five seconds.
- **Percentiles come from whole histograms** (HdrHistogram, three digits, 1 µs to a minute). Those of generator processes and of rounds are put together by adding counts; percentiles are never averaged. At
  high rates the latency of some subscribers is taken, not of all; everything else is counted for all.
- **CPU** is the kernel's count for each process, over all its threads, from \`/proc\`, from before the first publication until nothing is on its way any more. Memory is from \`/proc\` too, Redis' traffic from its \`INFO\`.
- **Turns.** Each server has fresh processes for each round, and whoever comes first in one round comes last in the next. A warm-up of a second (\`warmUpSeconds\`) is not measured.

## Its limits

- Generator and servers that it starts share the machine: with few cores they take CPU from each other. Compare servers of the same run, not of different days.
- Bare sockets publish without acknowledgement. What an acknowledged publication costs shows \`npm run loadtest -- levels\`.
- \`--client\` costs the generator several times what a bare socket does: give it fewer subscribers, or more \`--generators\`.
- Latency ends where the bytes are found in the generator; an application adds its own decoding.
- Of servers behind \`--url\` there is no CPU, no memory and nothing of Redis.
- A moment is half a second long: what is shorter shows in the percentiles, not in the course.

## Result files

\`--json result.json\` writes all results; \`--json -\` writes them to standard output, behind the table. The version is raised when a field goes or changes what it means; fields may be
added without that, so pass over what you do not know.

${resultParts.map(([title, schema]) => `### ${title}\n\n${rows(['field', 'type', 'what it is'], fieldsOf(schema))}`).join('\n\n')}
`;
}

function fieldsOf(schema: z.ZodObject): readonly (readonly string[])[] {
  return Object.entries(z.toJSONSchema(schema).properties ?? {}).map(([field, about]) => {
    if (typeof about === 'boolean') throw new Error(`The field ${field} has no type.`);
    const alternatives = about.anyOf ?? about.oneOf ?? [about];
    const types = alternatives.flatMap((each) => ('const' in each ? JSON.stringify(each.const) : (each.type ?? [])));
    return [`\`${field}\``, [...new Set(types)].join(' or '), about.description ?? ''];
  });
}

/** A table of which only the source is read, so its columns need not be straight. */
function rows(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...lines.map(line)].join('\n');
}
