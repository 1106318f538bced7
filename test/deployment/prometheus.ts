/** The HTTP API of Prometheus, and the content of our alerts and our dashboard. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { root } from './image.js';

export const rulesFile = join(root, 'monitoring/prometheus/alerts.yml');
export const ruleTestsFile = join(root, 'monitoring/prometheus/alerts.test.yml');
const dashboardFile = join(root, 'monitoring/grafana/fanfare.json');

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook_url: string };
}

/** The alerts of a rule file, without its recording rules. */
export function alertsOf(text: string): Alert[] {
  const { groups }: { groups: { rules: (Alert | { readonly record: string })[] }[] } = parse(text);
  return groups.flatMap(({ rules }) => rules).filter((rule) => 'alert' in rule);
}

export interface Panel {
  readonly id: number;
  readonly type: 'row' | 'stat' | 'timeseries';
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string; readonly refId: string }[];
  readonly fieldConfig?: { readonly defaults: { readonly unit: string } };
}

export interface Dashboard {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync(dashboardFile, 'utf8'));
}

/** As Grafana sends it, with all nodes selected. */
export function asked(expression: string, rateInterval = '20s'): string {
  return expression.replaceAll('$node', '.*').replaceAll('$__rate_interval', rateInterval);
}

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [time: number, value: string];
}

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [time: number, value: string])[];
}

export class PrometheusApi {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async query(expression: string): Promise<Sample[]> {
    const { result } = await this.#get<{ result: Sample[] }>('query', { query: expression });
    return result;
  }

  async queryRange(expression: string, start: number, end: number, step: number): Promise<Series[]> {
    const parameters = { query: expression, start: String(start), end: String(end), step: String(step) };
    const { result } = await this.#get<{ result: Series[] }>('query_range', parameters);
    return result;
  }

  async targets(): Promise<{ scrapeUrl: string; health: string }[]> {
    const { activeTargets } = await this.#get<{ activeTargets: { scrapeUrl: string; health: string }[] }>('targets');
    return activeTargets;
  }

  /** The alerts that Prometheus has loaded. */
  async alerts(): Promise<{ name: string; health: string }[]> {
    const parameters = { type: 'alert' };
    const { groups } = await this.#get<{ groups: { rules: { name: string; health: string }[] }[] }>(
      'rules',
      parameters,
    );
    return groups.flatMap(({ rules }) => rules);
  }

  /** Throws if Prometheus rejects the query. */
  async #get<Data>(path: string, parameters: Readonly<Record<string, string>> = {}): Promise<Data> {
    const response = await fetch(`${this.#url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const answer = (await response.json()) as { status: string; error?: string; data: Data };
    if (answer.status !== 'success') throw new Error(`${answer.error} (${JSON.stringify(parameters)})`);
    return answer.data;
  }
}
