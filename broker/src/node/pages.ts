/** What people read of the code's own tables: `fanfare --help`, docs/configuration.md, docs/observability.md. */
import { maxTopicBytes, maxTopicSegments } from '@fanfare/protocol';
import { authFields } from '../auth/auth-config.js';
import { logEvents } from '../observe/log.js';
import {
  buildInfo,
  busyMetric,
  counterMetrics,
  gaugeMetrics,
  histogramMetrics,
  notReadyMetric,
  workerMetrics,
} from '../observe/metrics.js';
import { settings } from '../settings/config.js';
import { policyFields } from '../settings/config-documents.js';
import { incidentSection } from './incident-page.js';
import { tracingSection } from './tracing-page.js';

const examplePolicies = {
  'prices.>': { level: 'fast' },
  'orders.*': { level: 'durable', historySize: 1_000, historyAgeSeconds: 3_600, lastValue: true },
};

const exampleAuth = {
  issuers: [
    { issuer: 'https://id.example.com', audience: 'fanfare', jwksUrl: 'https://id.example.com/.well-known/jwks.json' },
  ],
  apiKeys: [{ id: 'orders', sha256: '9f86d081884c7d65…', permissions: { publish: ['orders.>'] } }],
};

/** What the fields of FANFARE_AUTH stand in. */
const authParts: Readonly<Record<keyof typeof authFields, string>> = {
  '': 'The object itself:',
  issuers: 'An element of `issuers`:',
  keys: 'An element of `keys` of an issuer:',
  apiKeys: 'An element of `apiKeys`:',
  hook: '`hook`:',
};

function authTables(): string {
  const tables = Object.entries(authFields).map(([part, fields]) => {
    const rows = Object.entries(fields).map(
      ([field, { about, mustBe, fallback }]) => `| \`${field}\` | ${about} | ${mustBe} | ${fallback} |`,
    );
    const head = '| field | what it is | values | default |\n|---|---|---|---|';
    return `\n${authParts[part as keyof typeof authFields]}\n\n${head}\n${rows.join('\n')}\n`;
  });
  return tables.join('');
}

export function helpText(): string {
  const lines = Object.values(settings).map(
    ({ name, about, fallback, mustBe }) =>
      `  ${name}\n      ${plain(about)}\n      ${plain(mustBe)}; default ${plain(fallback)}\n`,
  );
  const fields = Object.entries(policyFields).map(
    ([field, { about, fallback, mustBe }]) =>
      `  ${field}\n      ${plain(about)}\n      ${plain(mustBe)}; default ${plain(fallback)}\n`,
  );
  return `Fanfare: a node of a pub/sub broker.

Usage: fanfare [--help]
       fanfare api-key <id>    create an API key and its entry for FANFARE_AUTH

All settings are environment variables:

${lines.join('\n')}
Example of FANFARE_TOPICS:

  ${JSON.stringify(examplePolicies)}

"*" matches exactly one segment of a topic; ">" (only last) matches one or more. Only the most specific pattern applies.
Fields of a policy (a policy of level "fast" may have only the field level):

${fields.join('\n')}
Example of FANFARE_AUTH (fields: docs/configuration.md):

  ${JSON.stringify(exampleAuth)}
`;
}

export function configurationPage(): string {
  const rows = Object.values(settings).map(
    ({ name, unit, fallback, mustBe, about }) => `| \`${name}\` | ${about} | ${mustBe} | ${unit} | ${fallback} |`,
  );
  const fields = Object.entries(policyFields).map(
    ([field, { unit, fallback, mustBe, about }]) => `| \`${field}\` | ${about} | ${mustBe} | ${unit} | ${fallback} |`,
  );
  return `# Configuration

<!-- Generated from broker/src/settings/config.ts by \`npm run docs\`. -->

A node is configured by environment variables. A value that is wrong, or a variable that begins with \`FANFARE_\` and is
no setting, stops the start with a sentence that names it. An empty variable counts as unset.

| variable | what it is, and what happens at the limit | values | unit | default |
|---|---|---|---|---|
${rows.join('\n')}

## Policies of topics

\`FANFARE_TOPICS\` gives a policy to every topic that matches a pattern, in the variable itself or in a file
(\`FANFARE_TOPICS=@/etc/fanfare/topics.json\`) that is read once, at start. Nodes that form one broker need the same policies.

\`\`\`json
${JSON.stringify(examplePolicies, null, 2)}
\`\`\`

A pattern is segments joined by \`.\`, at most ${maxTopicBytes} bytes and ${maxTopicSegments} segments. \`*\` stands for exactly one segment, \`>\` (only
last) for one or more: \`orders.*\` matches \`orders.7\`, and \`orders.>\` also \`orders.7.lines\`, but neither matches
\`orders\`. Of several patterns that match, only the most specific one holds, whatever their order: from the left, the first
segment in which they differ decides, a literal before \`*\` before \`>\`. A topic that no pattern matches has the default
policy, and a field that a pattern leaves out has its default, not the value of a less specific pattern.

| field | what it is, and what happens at the limit | values | unit | default |
|---|---|---|---|---|
${fields.join('\n')}

A topic of level \`fast\` keeps no history: the other fields may not stand beside that level.

## Who may connect

\`FANFARE_AUTH\` holds a JSON object, or names a file with one (\`FANFARE_AUTH=@/etc/fanfare/auth.json\`). Nodes read changed files without a restart ([how](security.md#changing-keys-while-nodes-run)). No sentence about a mistake in it
repeats what it holds. [security.md](security.md) leads through it.

\`\`\`json
${JSON.stringify(exampleAuth, null, 2)}
\`\`\`
${authTables()}`;
}

export function observabilityPage(): string {
  const row =
    (suffix: string, type: string) =>
    ([name, help]: readonly [string, string]) =>
      `| \`fanfare_${name}${suffix}\` | ${type} | ${help} |`;
  const metrics = [
    ...Object.values(gaugeMetrics).map(row('', 'gauge')),
    row('', 'gauge')(notReadyMetric),
    row('', 'gauge')(buildInfo),
    row('_total', 'counter')(busyMetric),
    ...Object.values(counterMetrics).map(row('_total', 'counter')),
    ...Object.values(histogramMetrics).map(row('', 'histogram')),
    ...Object.values(workerMetrics).map(([name, type, help]) => row('', type)([name, help])),
  ];
  const events = Object.entries(logEvents).map(([event, meaning]) => `| \`${event}\` | ${meaning} |`);
  return `# Observability

<!-- Generated from broker/src (metrics.ts, log.ts, tracing-page.ts, incident-page.ts) by \`npm run docs\`. -->

## Endpoints

On the admin port (\`FANFARE_ADMIN_PORT\`, 8081):

| path | answer |
|---|---|
| \`/\` | the console: a page that shows how the node is, second by second, and lets one try it |
| \`/node.json\` | what that page has to know: the node's name and version, the port of its clients |
| \`/healthz\` | 200 while the event loop turns. It does not look at Redis: an outage there must not restart nodes. |
| \`/readyz\` | 200 while the node would take a subscription and an acknowledged publication; 503 while it drains, or while Redis is configured and not connected. The body says why. |
| \`/metrics\` | what follows, in Prometheus' text format |

With \`FANFARE_WORKERS\` above 1 the supervisor answers for all workers. \`/healthz\` is 503 while a worker runs and does not answer it. \`/readyz\` is 200 while every
worker is ready; else its body says which are not and why, also while one that ended is started again. \`/metrics\` has the samples of each worker, with the label \`worker\`:
the machine's are \`sum without (worker) (…)\`, or \`sum without (worker) (rate(…))\`.

## Console

\`http://127.0.0.1:8081/\` in a browser shows one node, or the workers of one machine: whether it is ready and why not, its figures of the last minute, and in red what should not be. Below, a box connects as a client does, in JSON, to subscribe and publish.

![The console](images/console.png)

The page asks nothing but its own port, and its addresses are relative: a proxy may serve it under any path. The box goes to the port of the clients, with the doors that it has: a token where \`FANFARE_AUTH\` asks for one, and the origin of the page in \`FANFARE_ORIGINS\` then;
where that port is mapped or behind a proxy, correct the address in the box. The admin port itself has no authentication: whoever reaches it sees the figures, but no topic, no subject and no publication.

## Metrics

No label carries a topic, a user, or anything else that a client chooses. Besides these there are the process' own metrics as
\`prom-client\` names them: CPU, memory, event-loop lag (\`nodejs_eventloop_lag_*\`), garbage collection.

| metric | type | what it counts |
|---|---|---|
${metrics.join('\n')}

${tracingSection}## Log

One line for each event, on standard output: JSON with \`time\` (Unix milliseconds), \`level\` (30 info, 40 warn, 50 error), \`node\`, \`event\` and \`msg\`, or readable text at a terminal
(\`FANFARE_LOG_FORMAT\`). Search and alert by \`event\`; \`msg\` is for people and may change.

| event | meaning |
|---|---|
${events.join('\n')}

${incidentSection}`;
}

function plain(text: string): string {
  return text.replaceAll('`', '');
}
