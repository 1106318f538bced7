/**
 * The page of charts: one file that needs no network. It contains Chart.js, the script that draws (page/draw.ts, after
 * the build), and the data.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LoadResult } from '../load/result.js';
import { scenarios } from '../scenarios/scenarios.js';
import { servers } from '../servers/servers.js';
import type { Chart, Figure } from './chart.js';
import { type Course, coursesOf } from './course-figures.js';
import { cpuFigures } from './cpu-figure.js';
import { type NamedResultFile, type Section, sectionsOf, unique } from './group.js';
import { latencyFigures } from './latency-figure.js';
import { loadColumns } from './load-table.js';
import { escapeHtml, table } from './markup.js';
import { memoryFigures } from './memory-figure.js';
import { styleSheet } from './style-sheet.js';
import { throughputFigures } from './throughput-figure.js';

interface SectionFigures {
  readonly section: Section;
  readonly figures: readonly Figure[];
  readonly courses: readonly Course[];
}

/** The page for the results of these files. */
export async function reportPage(files: readonly NamedResultFile[]): Promise<string> {
  const sections = sectionsOf(files).map((section): SectionFigures => {
    // Figures that sum up all runs come first, because each run can have its own latency chart.
    const figures = [throughputFigures, cpuFigures, memoryFigures, latencyFigures].flatMap((make) => make(section));
    return { section, figures, courses: coursesOf(section) };
  });
  const charts = sections.flatMap(({ figures, courses }) =>
    [...figures, ...courses.flatMap((course) => course.figures)].map(({ chart }) => chart),
  );
  const [library, script] = await Promise.all([
    readFile(join(dirname(createRequire(import.meta.url).resolve('chart.js')), 'chart.umd.min.js'), 'utf8'),
    readFile(fileURLToPath(new URL('../../dist/page/draw.js', import.meta.url)), 'utf8'),
  ]);
  const [first] = files;
  const date = first?.startedAt.slice(0, 10) ?? '';
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>Load test of ${escapeHtml(date)}</title>
<style>${styleSheet}</style>
</head>
<body>
<header>
<h1>Load test</h1>
${files.map(facts).join('\n')}
${serversUsed(files)}
${searchesOf(files)}
${verdict(files.flatMap(({ results }) => results))}
</header>
<main>
<section id="results">
<h2>Results</h2>
<p>Each round in a line. docs/reference/loadtest.md explains the columns.</p>
${sections.map(({ section }) => resultTable(section, files)).join('\n')}
</section>
${contents(sections)}
${sections.map(sectionMarkup).join('\n')}
</main>
<script type="application/json" id="charts">${jsonForScript(charts)}</script>
<script>${withoutSourceMap(library)}</script>
<script type="module">${withoutSourceMap(script)}</script>
</body>
</html>
`;
}

function facts({ name, machine, command, startedAt, results }: NamedResultFile, _: number, files: readonly unknown[]) {
  const rows = [
    ...(files.length > 1 ? [['file', name]] : []),
    ['machine', machine],
    ['command', command],
    ['date', `${startedAt.replace('T', ' ').replace(/\.\d+Z$/, '')} UTC`],
    ['results', String(results.length)],
  ];
  const items = rows.map(([term = '', text = '']) => {
    const value = escapeHtml(text);
    return `<dt>${term}</dt><dd>${term === 'command' ? `<code>${value}</code>` : value}</dd>`;
  });
  return `<dl class="facts">${items.join('')}</dl>`;
}

function serversUsed(files: readonly NamedResultFile[]): string {
  const names = unique(files.flatMap(({ results }) => results.map(({ server }) => server)));
  const items = names.flatMap((name) => {
    // The name may end with "typed client".
    const about = servers[name.split(',')[0] ?? '']?.about;
    return about === undefined ? [] : [`<li><strong>${escapeHtml(name)}</strong>: ${escapeHtml(about)}</li>`];
  });
  return items.length === 0 ? '' : `<ul class="servers">${items.join('')}</ul>`;
}

function searchesOf(files: readonly NamedResultFile[]): string {
  const found = files.flatMap(({ searches }) => searches.map(({ says }) => `<li>${escapeHtml(says)}</li>`));
  return found.length === 0 ? '' : `<ul class="searches">${found.join('')}</ul>`;
}

function verdict(results: readonly LoadResult[]): string {
  const invalid = results.filter(({ complaints }) => complaints.length > 0);
  if (invalid.length === 0) {
    return `<p class="verdict">All ${results.length} results are valid: nothing was lost, repeated or sent late.</p>`;
  }
  const complaints = invalid.flatMap(({ scenario, label, server, complaints: own }) =>
    own.map(
      (text) =>
        `<li><strong>${escapeHtml(`${scenario} ${label}, ${server}`.trim())}</strong>: ${escapeHtml(text)}</li>`,
    ),
  );
  const count = invalid.length === 1 ? '1 result is' : `${invalid.length} results are`;
  return `<div class="verdict invalid" role="note"><p><strong>${count} INVALID, of ${results.length}.</strong> If other rounds of the same run are valid, the charts show only those. Otherwise the run is faint and marked INVALID.</p>
<ul>${complaints.join('')}</ul></div>`;
}

function contents(sections: readonly SectionFigures[]): string {
  if (sections.length < 2) return '';
  const links = sections.map(
    ({ section }) => `<li><a href="#${idOf(section)}">${escapeHtml(titleOf(section))}</a></li>`,
  );
  return `<nav aria-label="Scenarios"><ul><li>Charts:</li>${links.join('')}</ul></nav>`;
}

function titleOf({ scenario }: Section): string {
  return scenario === '' ? 'Runs' : scenario;
}

function idOf({ scenario }: Section): string {
  return `scenario-${scenario}`;
}

function sectionMarkup({ section, figures, courses }: SectionFigures): string {
  const about = scenarios[section.scenario]?.about;
  return `<section id="${escapeHtml(idOf(section))}">
<h2>${escapeHtml(titleOf(section))}</h2>
${about === undefined ? '' : `<p>${escapeHtml(about)}</p>`}
${figures.map((figure) => figureMarkup(figure, true)).join('\n')}
${courses.map(courseMarkup).join('\n')}
${figures.length + courses.length === 0 ? '<p>No chart can show these results; see the table above.</p>' : ''}
</section>`;
}

function figureMarkup({ chart, about, notes, numbers }: Figure, hasLegend: boolean): string {
  const label = `${chart.title}. x: ${chart.x.title}; y: ${chart.y.title}. ${chart.series.length} series; the numbers follow as a table.`;
  return `<figure data-chart="${escapeHtml(chart.id)}">
<figcaption><h3>${escapeHtml(chart.title)}</h3>${about === '' ? '' : `<p>${escapeHtml(about)}</p>`}</figcaption>
${hasLegend ? legend([chart]) : ''}
<div class="plot"><canvas role="img" aria-label="${escapeHtml(label)}"></canvas></div>
${notesMarkup(notes)}
<details class="numbers"><summary>Numbers</summary>${table(numbers.head, numbers.rows)}</details>
</figure>`;
}

function notesMarkup(notes: readonly string[]): string {
  if (notes.length === 0) return '';
  return `<ul class="notes">${notes.map((note) => `<li>${escapeHtml(note)}</li>`).join('')}</ul>`;
}

function legend(charts: readonly Chart[]): string {
  return `<div class="legend" role="group" aria-label="Show or hide" data-legend="${escapeHtml(charts.map(({ id }) => id).join('|'))}"></div>`;
}

function courseMarkup({ run, isEventful, figures, notes }: Course): string {
  return `<details class="course"${isEventful ? ' open' : ''}><summary><h3>Timeline of ${escapeHtml(run)}</h3></summary>
${legend(figures.map(({ chart }) => chart))}
${notesMarkup(notes)}
<div class="panels">
${figures.map((figure) => figureMarkup(figure, false)).join('\n')}
</div>
</details>`;
}

function resultTable({ scenario }: Section, files: readonly NamedResultFile[]): string {
  const lines = files.flatMap(({ name, results }) =>
    results.filter((result) => result.scenario === scenario).map((result) => ({ name, result })),
  );
  const columns = [
    ...(files.length > 1 ? [{ title: 'file', cells: lines.map(({ name }) => name) }] : []),
    ...loadColumns.map(({ title, cell }) => ({ title, cells: lines.map(({ result }) => cell(result)) })),
  ].filter(({ cells }) => cells.some((cell) => cell !== ''));
  return table(
    columns.map(({ title }) => title),
    lines.map((_, line) => columns.map(({ cells }) => cells[line] ?? '')),
    {
      ...(scenario === '' ? {} : { caption: scenario }),
      classOf: (line) => ((lines[line]?.result.complaints.length ?? 0) > 0 ? 'invalid' : ''),
    },
  );
}

/** Escapes the text, so that it cannot end the script element around it. */
function jsonForScript(value: unknown): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c');
}

/** A browser would look for the map at the page's address. */
function withoutSourceMap(script: string): string {
  if (script.includes('</script')) throw new Error('A script of the page contains </script, which would end it early.');
  return script.replace(/^\/\/# sourceMappingURL=.*$/m, '');
}
