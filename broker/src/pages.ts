/** What people read of the code's own tables: `fanfare --help`, docs/configuration.md, docs/observability.md. */
import { settings } from './config.js';
import { logEvents } from './log.js';
import { counterMetrics, gaugeMetrics, histogramMetrics } from './metrics.js';

export function helpText(): string {
  const lines = Object.values(settings).map(
    ({ name, about, fallback, mustBe }) =>
      `  ${name}\n      ${plain(about)}\n      ${plain(mustBe)}; default ${plain(fallback)}\n`,
  );
  return `Fanfare: a node of a pub/sub broker.\n\nUsage: fanfare [--help]\n\nAll settings are environment variables:\n\n${lines.join('\n')}`;
}

export function configurationPage(): string {
  const rows = Object.values(settings).map(
    ({ name, unit, fallback, mustBe, about }) => `| \`${name}\` | ${about} | ${mustBe} | ${unit} | ${fallback} |`,
  );
  return `# Configuration

<!-- Generated from broker/src/config.ts by \`npm run docs\`. -->

A node is configured by environment variables. A value that is wrong, or a variable that begins with \`FANFARE_\` and is
no setting, stops the start with a sentence that names it. An empty variable counts as unset.

| variable | what it is, and what happens at the limit | values | unit | default |
|---|---|---|---|---|
${rows.join('\n')}
`;
}

export function observabilityPage(): string {
  const row =
    (suffix: string, type: string) =>
    ([name, help]: readonly [string, string]) =>
      `| \`fanfare_${name}${suffix}\` | ${type} | ${help} |`;
  const metrics = [
    ...Object.values(gaugeMetrics).map(row('', 'gauge')),
    ...Object.values(counterMetrics).map(row('_total', 'counter')),
    ...Object.values(histogramMetrics).map(row('', 'histogram')),
  ];
  const events = Object.entries(logEvents).map(([event, meaning]) => `| \`${event}\` | ${meaning} |`);
  return `# Observability

<!-- Generated from broker/src/metrics.ts and broker/src/log.ts by \`npm run docs\`. -->

## Endpoints

On the admin port (\`FANFARE_ADMIN_PORT\`, 8081):

| path | answer |
|---|---|
| \`/healthz\` | 200 while the event loop turns. It does not look at Redis: an outage there must not restart nodes. |
| \`/readyz\` | 200 while the node would take a subscription and an acknowledged publication; 503 while it drains, or while Redis is configured and not connected. The body says why. |
| \`/metrics\` | what follows, in Prometheus' text format |

## Metrics

No label carries a topic, a user, or anything else that a client chooses. Besides these there are the process' own metrics as
\`prom-client\` names them: CPU, memory, event-loop lag (\`nodejs_eventloop_lag_*\`), garbage collection.

| metric | type | what it counts |
|---|---|---|
${metrics.join('\n')}

## Log

One line for each event, on standard output: JSON with \`time\` (Unix milliseconds), \`level\` (30 info, 40 warn, 50 error), \`node\`, \`event\` and \`msg\`, or readable text at a terminal
(\`FANFARE_LOG_FORMAT\`). Search and alert by \`event\`; \`msg\` is for people and may change.

| event | meaning |
|---|---|
${events.join('\n')}
`;
}

function plain(text: string): string {
  return text.replaceAll('`', '');
}
