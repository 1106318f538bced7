/**
 * Alerts, their runbook and the dashboard: Prometheus accepts them, they use metrics that exist, and they are complete.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { notReadyReasons } from '../../broker/src/node/outage.js';
import { root } from './image.js';
import { metricNames, namesIn } from './metric-names.js';
import { findProgram, missingPrograms } from './programs.js';
import { alertsOf, asked, type Panel, readDashboard, rulesFile, ruleTestsFile } from './prometheus.js';

const rules = readFileSync(rulesFile, 'utf8');
const alerts = alertsOf(rules);
const runbook = readFileSync(join(root, 'docs/on-call.md'), 'utf8');
const dashboard = readDashboard();
const panels = dashboard.panels.filter(({ type }) => type !== 'row');
const names = await metricNames();

interface RuleTest {
  readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts?: readonly unknown[] }[];
}

/** Differences between the alerts and the runbook, one sentence each. */
function runbookProblems(text: string, page: string): string[] {
  const section = page.split(/^## /m).find((each) => each.startsWith('Alerts\n')) ?? '';
  const titles = [...section.matchAll(/^### (\w+)$/gm)].map((match) => match[1] ?? '');
  const known = alertsOf(text).map(({ alert }) => alert);
  const rows = new Set([...section.matchAll(/^(\| \[\w+\]\(#\w+\) \| `\w+` \|) /gm)].map((match) => match[1]));
  const unlisted = alertsOf(text).filter(
    ({ alert, labels }) => !rows.has(`| [${alert}](#${alert.toLowerCase()}) | \`${labels.severity}\` |`),
  );
  const withoutAdvice = section
    .split(/^### /m)
    .slice(1)
    .filter((each) => !['- **Cause**', '- **Do**', '- **Do not**'].every((part) => each.includes(part)))
    .map((each) => `${each.split('\n')[0]} lacks a cause, what to do, or what not to do.`);
  return [
    ...known.filter((name) => !titles.includes(name)).map((name) => `${name} has no section.`),
    ...titles.filter((name) => !known.includes(name)).map((name) => `${name} is not an alert.`),
    ...unlisted.map(({ alert }) => `${alert} is not in the list of alerts, or has another severity there.`),
    ...withoutAdvice,
    ...[...section.matchAll(/\]\(#(\w+)\)/g)]
      .map((match) => match[1] ?? '')
      .filter((anchor) => !titles.some((title) => title.toLowerCase() === anchor))
      .map((anchor) => `#${anchor} leads nowhere.`),
  ];
}

function overlaps({ gridPos: a }: Panel, { gridPos: b }: Panel): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

describe('the alerts', () => {
  it('each have a severity, a description, and a link to the runbook', () => {
    for (const { alert, labels, annotations } of alerts) {
      expect(alert).toMatch(/^Fanfare[A-Z]\w+$/);
      expect(['page', 'ticket', 'info']).toContain(labels.severity);
      expect(annotations.summary).toMatch(/\.$/);
      expect(annotations.description).toMatch(/\.$/);
      expect(annotations.runbook_url).toBe(`docs/on-call.md#${alert.toLowerCase()}`);
    }
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
  });

  it('each have a comment that explains the threshold', () => {
    const lines = rules.split('\n');
    const silent = lines.filter((line, index) => /- alert:/.test(line) && !/^\s*#/.test(lines[index - 1] ?? ''));
    expect(silent).toEqual([]);
  });

  it('each have a section in the runbook, and each section has an alert', () => {
    expect(runbookProblems(rules, runbook)).toEqual([]);
  });

  it('have a runbook that explains every reason of /readyz', () => {
    const rows = Object.entries(notReadyReasons).map(([reason, sentence]) => `| ${sentence} | \`${reason}\` | `);
    expect(rows.filter((row) => !runbook.includes(row))).toEqual([]);
  });

  it('need a section in the runbook, and each section needs its alert, its row and its advice', () => {
    expect(runbookProblems(rules, runbook.replace('### FanfareHookFails', '### FanfareHookFailed'))).toEqual([
      'FanfareHookFails has no section.',
      'FanfareHookFailed is not an alert.',
      '#fanfarehookfails leads nowhere.',
    ]);
    expect(
      runbookProblems(rules, runbook.replace('(#fanfarerestarts) | `ticket`', '(#fanfarerestarts) | `page`')),
    ).toEqual(['FanfareRestarts is not in the list of alerts, or has another severity there.']);
    expect(runbookProblems(rules, runbook.replace('- **Do not** restart nodes for it.', ''))).toEqual([
      'FanfareCertificateExpires lacks a cause, what to do, or what not to do.',
    ]);
  });

  it('use metrics that exist', () => {
    expect(alerts.flatMap(({ expr }) => namesIn(expr)).filter((name) => !names.has(name))).toEqual([]);
  });

  it('each have a test in which they fire and one in which they do not', () => {
    const { tests }: { tests: RuleTest[] } = parse(readFileSync(ruleTestsFile, 'utf8'));
    const cases = tests.flatMap((each) => each.alert_rule_test);
    for (const { alert } of alerts) {
      const mine = cases.filter(({ alertname }) => alertname === alert);
      expect(mine.some(({ exp_alerts = [] }) => exp_alerts.length > 0)).toBe(true);
      expect(mine.some(({ exp_alerts = [] }) => exp_alerts.length === 0)).toBe(true);
    }
  });
});

const missing = missingPrograms('promtool');

describe.skipIf(missing !== '')(`promtool${missing}`, () => {
  const promtool = (...args: readonly string[]) =>
    spawnSync(findProgram('promtool') ?? '', args, { cwd: dirname(rulesFile), encoding: 'utf8' });

  /** The errors of promtool for these rules; empty if they are valid. */
  async function check(text: string): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'fanfare-rules-'));
    try {
      const file = join(folder, 'rules.yml');
      await writeFile(file, text);
      const { status, stdout, stderr } = promtool('check', 'rules', file);
      return status === 0 ? '' : stdout + stderr;
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  it('accepts the rules and the configuration', async () => {
    expect(await check(rules)).toBe('');
    const { status, stdout, stderr } = promtool('check', 'config', 'prometheus.yml');
    expect(status, stdout + stderr).toBe(0);
  });

  it('rejects a rule with a mistake', async () => {
    expect(
      await check(rules.replace('increase(fanfare_gaps_told_total[10m])', 'increase(fanfare_gaps_told_total)')),
    ).not.toBe('');
    expect(await check(rules.replace('for: 1m', 'for: soon'))).not.toBe('');
  });

  it('confirms that each alert fires when it should, and only then', () => {
    const { status, stdout, stderr } = promtool('test', 'rules', 'alerts.test.yml');
    expect(status, stdout + stderr).toBe(0);
  });

  it('counts the outages of a node and their duration with the expressions of the dashboard', async () => {
    const expressionOf = (title: string): string =>
      asked(panels.find((panel) => panel.title === title)?.targets?.[0]?.expr ?? '');
    const expecting = (title: string, value: number): object => ({
      expr: expressionOf(title),
      eval_time: '30m',
      exp_samples: [{ labels: '{instance="a:8081"}', value }],
    });
    const connected = {
      series: 'fanfare_relay_connected{job="fanfare", instance="a:8081"}',
      values: '1x59 0x5 1x59 0x11 1x300',
    };
    const file = {
      evaluation_interval: '5s',
      tests: [
        {
          interval: '5s',
          input_series: [connected],
          promql_expr_test: [expecting('Time in outages, last hour', 90), expecting('Outages, last hour', 2)],
        },
      ],
    };
    const folder = await mkdtemp(join(tmpdir(), 'fanfare-rules-'));
    try {
      await writeFile(join(folder, 'test.yml'), JSON.stringify(file));
      const { status, stdout, stderr } = promtool('test', 'rules', join(folder, 'test.yml'));
      expect(status, stdout + stderr).toBe(0);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('accepts every expression of the dashboard', async () => {
    const expressions = [
      ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
      ...dashboard.annotations.list.map(({ expr }) => expr),
    ];
    const asRules = expressions.map(
      (expr, index) => `      - record: panel:${index}\n        expr: ${JSON.stringify(asked(expr))}`,
    );
    const group = (lines: readonly string[]): string => `groups:\n  - name: panels\n    rules:\n${lines.join('\n')}\n`;
    expect(expressions.length).toBeGreaterThan(0);
    expect(await check(group(asRules))).toBe('');
    expect(
      await check(group([...asRules, '      - record: panel:bad\n        expr: sum(fanfare_connections'])),
    ).not.toBe('');
  });
});

describe('the dashboard', () => {
  it('has panels with unique ids, units and descriptions, and no panels that overlap', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    for (const { title, description, targets = [], fieldConfig } of panels) {
      expect(description, title).toMatch(/\.$/);
      expect(fieldConfig?.defaults.unit, title).toBeTruthy();
      expect(new Set(targets.map(({ refId }) => refId)).size, title).toBe(Math.max(1, targets.length));
    }
    for (const [index, panel] of dashboard.panels.entries()) {
      expect(panel.gridPos.x + panel.gridPos.w).toBeLessThanOrEqual(24);
      expect(dashboard.panels.slice(index + 1).filter((other) => overlaps(panel, other))).toEqual([]);
    }
  });

  it('has variables for the Prometheus and the nodes', () => {
    expect(dashboard.templating.list.map(({ name, type }) => [name, type])).toEqual([
      ['datasource', 'datasource'],
      ['node', 'query'],
    ]);
    const withoutNode = panels.flatMap(({ targets = [] }) => targets.filter(({ expr }) => !/\$node|ALERTS/.test(expr)));
    expect(withoutNode).toEqual([]);
    expect(JSON.stringify(panels)).not.toMatch(/"uid":"(?!\$\{datasource\}")/);
  });

  it('uses metrics that exist', () => {
    const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    expect(expressions.flatMap(namesIn).filter((name) => !names.has(name))).toEqual([]);
    expect(namesIn('sum(rate(fanfare_conections{a="b"}[1m])) / up{job="x"}')).toEqual(['fanfare_conections', 'up']);
  });
});

describe('npm run dashboard', () => {
  const run = (...args: readonly string[]) =>
    spawnSync(process.execPath, [join(root, 'test/deployment/dashboard.mjs'), ...args], { encoding: 'utf8' });

  it('prints its usage and rejects unknown options', () => {
    expect(run('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('usage: npm run dashboard') });
    expect(run('--foo')).toMatchObject({
      status: 2,
      stderr: 'Unknown option --foo. See --help.\n',
    });
    expect(run('--help=1')).toMatchObject({
      status: 2,
      stderr: '--help takes no value. See --help.\n',
    });
    expect(run('dark')).toMatchObject({
      status: 2,
      stderr: 'Unexpected argument "dark". See --help.\n',
    });
  });
});
