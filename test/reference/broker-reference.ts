/** The generated pages about a node: settings, metrics and log events. */
import { authFields } from '../../broker/src/auth/auth-config.js';
import { logEvents } from '../../broker/src/observe/log.js';
import {
  buildInfo,
  busyMetric,
  counterMetrics,
  gaugeMetrics,
  gcMetric,
  histogramMetrics,
  httpMetric,
  notReadyMetric,
  shardMetrics,
  workerMetrics,
} from '../../broker/src/observe/metrics.js';
import { settings } from '../../broker/src/settings/config.js';
import { policyFields } from '../../broker/src/settings/config-documents.js';
import { page, table } from './table.js';

/** The headings of the fields of `FANFARE_AUTH`. */
const authHeadings: Readonly<Record<keyof typeof authFields, string>> = {
  '': 'Top level',
  issuers: 'Elements of `issuers`',
  keys: 'Elements of `keys` of an issuer',
  apiKeys: 'Elements of `apiKeys`',
  hook: '`hook`',
};

export function settingsPage(): string {
  const all = Object.values(settings);
  const overview = all.map(({ name, unit, fallback }) => [`[\`${name}\`](#${name.toLowerCase()})`, fallback, unit]);
  const variables = all.map(
    ({ name, fallback, mustBe, about }) => `### \`${name}\`\n\n${about}\n\n- values: ${mustBe}\n- default: ${fallback}`,
  );
  const policies = Object.entries(policyFields).map(([field, { unit, fallback, mustBe, about }]) => [
    `\`${field}\``,
    about,
    mustBe,
    unit,
    fallback,
  ]);
  const auth = Object.entries(authFields).map(([part, fields]) => {
    const rows = Object.entries(fields).map(([field, { about, mustBe, fallback }]) => [
      `\`${field}\``,
      about,
      mustBe,
      fallback,
    ]);
    const heading = authHeadings[part as keyof typeof authFields];
    return `### ${heading}\n\n${table(['field', 'meaning', 'values', 'default'], rows)}`;
  });
  const columns = ['meaning, and what happens at the limit', 'values', 'unit', 'default'];
  return page('Settings', '[configuration.md](../configuration.md) explains how to set them.', [
    '## Environment variables',
    table(['variable', 'default', 'unit'], overview),
    ...variables,
    '## Fields of a topic policy (`FANFARE_TOPICS`)',
    table(['field', ...columns], policies),
    '## Fields of `FANFARE_AUTH`',
    ...auth,
  ]);
}

export function metricsPage(): string {
  const row =
    (suffix: string, type: string) =>
    ([name, help]: readonly [string, string]): string[] => [`\`fanfare_${name}${suffix}\``, type, help];
  const rows = [
    ...Object.values(gaugeMetrics).map(row('', 'gauge')),
    row('', 'gauge')(notReadyMetric),
    ...shardMetrics.map(([name, help]) => row('', 'gauge')([name, help])),
    row('', 'gauge')(buildInfo),
    row('_total', 'counter')(busyMetric),
    row('_total', 'counter')(httpMetric),
    ...Object.values(counterMetrics).map(row('_total', 'counter')),
    ...Object.values(histogramMetrics).map(row('', 'histogram')),
    row('', 'histogram')(gcMetric),
    ...Object.values(workerMetrics).map(([name, type, help]) => row('', type)([name, help])),
  ];
  return page('Metrics', '[observability.md](../observability.md#metrics) explains where to read them.', [
    table(['metric', 'type', 'meaning'], rows),
  ]);
}

export function logEventsPage(): string {
  const rows = Object.entries(logEvents).map(([event, meaning]) => [`\`${event}\``, meaning]);
  return page('Log events', '[observability.md](../observability.md#log) explains the format of a log line.', [
    table(['event', 'meaning'], rows),
  ]);
}
