/**
 * Draws the Grafana dashboard without Grafana, only for a picture: each panel in its place, with data from Prometheus.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { asked, type Dashboard, type Panel, type PrometheusApi, type Series } from './prometheus.js';

const chartJs = readFileSync(join(dirname(createRequire(import.meta.url).resolve('chart.js')), 'chart.umd.js'), 'utf8');

interface Line {
  readonly label: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

interface Span {
  /** Unix time in seconds. */
  readonly from: number;
  readonly to: number;
}

export async function dashboardPage(dashboard: Dashboard, prometheus: PrometheusApi, span: Span): Promise<string> {
  const panels = await Promise.all(
    dashboard.panels.map(async (panel) => ({ ...panel, lines: await linesOf(panel, prometheus, span) })),
  );
  return `<!doctype html><meta charset="utf-8"><title>Fanfare</title>
<style>
  body { margin: 0; padding: 12px; background: #14161b; color: #d8dae0; font: 12px sans-serif; width: 1576px; }
  main { display: grid; grid-template-columns: repeat(24, 1fr); grid-auto-rows: 22px; gap: 6px; }
  section { background: #1c1f26; border: 1px solid #2b2f38; border-radius: 3px; padding: 6px 8px; overflow: hidden; display: flex; flex-direction: column; }
  section.row { background: none; border: 0; padding: 2px 0; font-size: 14px; font-weight: bold; }
  h2 { margin: 0 0 4px; font-size: 12px; font-weight: normal; color: #9aa0ad; }
  b { font-size: 30px; font-weight: normal; margin: auto; color: #8ab8ff; }
  div { flex: 1; position: relative; min-height: 0; }
</style>
<main></main>
<script>${chartJs.replaceAll('</script', '<\\/script')}</script>
<script>
const colors = ['#73bf69', '#f2cc0c', '#8ab8ff', '#ff780a', '#f2495c', '#b877d9'];
const short = (value) => Math.abs(value) >= 1e9 ? +(value / 1e9).toFixed(1) + ' G' : Math.abs(value) >= 1e6 ? +(value / 1e6).toFixed(1) + ' M'
  : Math.abs(value) >= 1e4 ? +(value / 1e3).toFixed(1) + ' k' : String(+value.toPrecision(3));
const units = {
  s: (value) => value === 0 ? '0' : value < 0.001 ? +(value * 1e6).toPrecision(3) + ' µs' : value < 1 ? +(value * 1e3).toPrecision(3) + ' ms' : value.toPrecision(3) + ' s',
  percentunit: (value) => +(value * 100).toPrecision(3) + ' %', bytes: (value) => short(value) + 'B', Bps: (value) => short(value) + 'B/s',
  ops: (value) => short(value) + '/s', short,
};
for (const panel of ${JSON.stringify(panels).replaceAll('<', '\\u003c')}) {
  const section = document.createElement('section');
  const { x, y, w, h } = panel.gridPos;
  section.style.gridArea = (y + 1) + ' / ' + (x + 1) + ' / span ' + h + ' / span ' + w;
  document.querySelector('main').append(section);
  if (panel.type === 'row') { section.className = 'row'; section.textContent = panel.title; continue; }
  const title = document.createElement('h2');
  title.textContent = panel.title;
  section.append(title);
  const format = units[panel.fieldConfig.defaults.unit];
  if (panel.type === 'stat' || panel.lines.length === 0) {
    const value = document.createElement('b');
    const last = panel.lines[0]?.points.at(-1)?.y;
    value.textContent = last === undefined ? 'No data' : format(Math.round(last));
    section.append(value);
    continue;
  }
  const place = document.createElement('div');
  place.append(document.createElement('canvas'));
  section.append(place);
  const isStacked = panel.fieldConfig.defaults.custom.stacking.mode === 'normal';
  new Chart(place.firstChild, {
    type: 'line',
    data: { datasets: panel.lines.map(({ label, points }, index) => ({
      label: label + ' ' + format(points.at(-1).y), data: points, borderColor: colors[index % colors.length], backgroundColor: colors[index % colors.length] + '30',
      fill: isStacked ? 'stack' : false, borderWidth: 1, pointRadius: 0 })) },
    options: {
      animation: false, maintainAspectRatio: false, color: '#9aa0ad',
      plugins: { legend: { position: 'bottom', labels: { color: '#9aa0ad', boxWidth: 10, boxHeight: 1, padding: 6, font: { size: 10 } } } },
      scales: {
        x: { type: 'linear', min: 0, max: ${span.to - span.from}, ticks: { color: '#6d7380', callback: (value) => value + ' s', maxTicksLimit: 7 }, grid: { color: '#262a33' } },
        y: { min: 0, stacked: isStacked, suggestedMax: panel.fieldConfig.defaults.max, ticks: { color: '#6d7380', callback: format, maxTicksLimit: 5 }, grid: { color: '#262a33' } },
      },
    },
  });
}
</script>`;
}

async function linesOf(panel: Panel, prometheus: PrometheusApi, span: Span): Promise<Line[]> {
  const { targets = [] } = panel;
  const answers = await Promise.all(
    targets.map(async ({ expr, legendFormat }) => {
      const series = await prometheus.queryRange(asked(expr, '10s'), span.from, span.to, 1);
      return series.map((each) => lineOf(each, legendFormat, span));
    }),
  );
  return answers.flat().filter(({ points }) => points.length > 0);
}

function lineOf({ metric, values }: Series, legend: string, { from }: Span): Line {
  return {
    label: legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? ''),
    points: values
      .filter(([, value]) => value !== 'NaN')
      .map(([time, value]) => ({ x: time - from, y: Number(value) })),
  };
}
