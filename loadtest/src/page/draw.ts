/**
 * The script of the page. The page contains each chart as JSON, and this script draws it into its canvas with Chart.js,
 * which precedes it in the page. It runs in a browser, so it imports types only. Colors come from the style sheet,
 * light or dark.
 */
import type { ChartDataset, ChartOptions, Plugin } from 'chart.js';
import type { Axis, Chart as Drawing, Mark, Series } from '../report/chart.js';

declare const Chart: typeof import('chart.js').Chart;

type Shape = 'line' | 'scatter' | 'bar';

const markers = ['circle', 'rect', 'triangle', 'rectRot'] as const;
const dashes: readonly (readonly number[])[] = [
  [],
  [7, 4],
  [2, 3],
  [10, 3, 2, 3],
  [14, 5],
  [4, 2, 1, 2],
  [1, 5],
  [8, 8],
];
const numberFormat = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 4 });

interface Colors {
  readonly ink: string;
  readonly faint: string;
  readonly grid: string;
  readonly paper: string;
  readonly warn: string;
  readonly series: readonly string[];
}

function readColors(): Colors {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const series = Array.from({ length: 10 }, (_, index) => read(`series-${index}`));
  return {
    ink: read('ink'),
    faint: read('faint'),
    grid: read('grid'),
    paper: read('paper'),
    warn: read('warn'),
    series,
  };
}

function colorOf({ color, isValid }: Series, colors: Colors): string {
  const solid = colors.series[color % colors.series.length] ?? colors.ink;
  return isValid ? solid : `${solid}80`;
}

function datasetOf(series: Series, drawing: Drawing, colors: Colors): ChartDataset<Shape> {
  const color = colorOf(series, colors);
  const dash = [...(dashes[series.dash % dashes.length] ?? [])];
  const pointStyle = markers[series.color % markers.length] ?? 'circle';
  const base = { label: series.name, borderColor: color, pointStyle, pointBackgroundColor: color };
  if (drawing.shape === 'bars') {
    const data: (number | null)[] = drawing.categories.map(() => null);
    for (const { x, y } of series.points) data[x] = y;
    const backgroundColor = series.isValid ? color : `${color.slice(0, 7)}30`;
    // Bars of a run are next to each other, even if there are few.
    const categoryPercentage = Math.min(0.8, 0.08 * drawing.series.length * drawing.categories.length);
    return { ...base, type: 'bar', data, backgroundColor, borderWidth: 2, categoryPercentage };
  }
  const hollow = series.marks === 'hollow' ? { pointBackgroundColor: colors.paper } : {};
  const data = series.points.map(({ x, y }) => ({ x, y }));
  if (drawing.shape === 'points') {
    return { ...base, ...hollow, type: 'scatter', data, pointRadius: 6, pointHoverRadius: 8, pointBorderWidth: 2 };
  }
  // Markers distinguish lines that colors do not. There are few of them, so that they do not hide the line.
  const each = series.points.length > 24 ? 12 : 1;
  const pointRadius = series.points.map((_, index) => (index % each === 0 ? 3.5 : 0));
  return { ...base, type: 'line', data, borderDash: dash, borderWidth: 2, pointRadius, pointHoverRadius: 6 };
}

/** Of 1 / (1 - p): as many digits as distinguish it from its neighbors. */
function percentileLabel(value: number): string {
  const maximumSignificantDigits = Math.max(2, Math.ceil(Math.log10(value)) + 1);
  return `${(100 * (1 - 1 / value)).toLocaleString('en-US', { maximumSignificantDigits })} %`;
}

const percentileTicks = [2, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

function scaleOf(axis: Axis, drawing: Drawing, direction: 'x' | 'y', colors: Colors) {
  const base = {
    title: { display: true, text: axis.title, color: colors.ink, font: { size: 13 } },
    grid: { color: colors.grid },
    border: { color: colors.faint },
    ticks: { color: colors.ink, font: { size: 12 } },
  };
  const values = drawing.series.flatMap(({ points }) => points.map((point) => point[direction]));
  const highs = drawing.series.flatMap(({ points }) => points.map(({ y, high }) => high ?? y));
  switch (axis.scale) {
    case 'percentiles':
      return {
        ...base,
        type: 'logarithmic' as const,
        min: 1,
        max: Math.max(10, ...values),
        afterBuildTicks: (scale: { max: number; ticks: { value: number }[] }) => {
          scale.ticks = percentileTicks.filter((value) => value <= scale.max).map((value) => ({ value }));
        },
        ticks: { ...base.ticks, callback: (value: number | string) => percentileLabel(Number(value)) },
      };
    case 'log': {
      // Whole tenths of a decade around the values, so that no mark lies on the edge.
      const [least, most] = [Math.min(...values), Math.max(...values)];
      return {
        ...base,
        type: 'logarithmic' as const,
        min: least / 1.25,
        max: most * 1.25,
        afterBuildTicks: (scale: { min: number; max: number; ticks: { value: number }[] }) => {
          const isWide = scale.max / scale.min > 1_000;
          const ticks: number[] = [];
          for (let decade = Math.floor(Math.log10(scale.min)); 10 ** decade <= scale.max; decade++) {
            for (const step of isWide ? [1] : [1, 2, 5]) ticks.push(step * 10 ** decade);
          }
          scale.ticks = ticks.filter((value) => value >= scale.min && value <= scale.max).map((value) => ({ value }));
        },
        ticks: { ...base.ticks, callback: (value: number | string) => numberFormat.format(Number(value)) },
      };
    }
    case 'categories':
      return { ...base, type: 'category' as const, labels: [...drawing.categories], grid: { display: false } };
    case 'linear':
      return {
        ...base,
        type: 'linear' as const,
        beginAtZero: true,
        // Chart.js does not know of the whiskers.
        ...(direction === 'y' ? { grace: '5%', suggestedMax: Math.max(...highs) } : {}),
        ticks: { ...base.ticks, callback: (value: number | string) => numberFormat.format(Number(value)) },
      };
  }
}

/** From lowest to highest of the rounds. */
function whiskers(drawing: Drawing, colors: Colors): Plugin {
  return {
    id: 'whiskers',
    afterDatasetsDraw: (chart) => {
      const { ctx, scales } = chart;
      for (const [index, series] of drawing.series.entries()) {
        const meta = chart.getDatasetMeta(index);
        const y = scales['y'];
        if (meta.hidden || !chart.isDatasetVisible(index) || y === undefined) continue;
        ctx.save();
        ctx.strokeStyle = colors.ink;
        ctx.lineWidth = 1.5;
        for (const [place, { x, low, high }] of series.points.entries()) {
          const element = meta.data[drawing.shape === 'bars' ? x : place];
          if (element === undefined || low === undefined || high === undefined) continue;
          const [top, bottom] = [y.getPixelForValue(high), y.getPixelForValue(low)];
          ctx.beginPath();
          ctx.moveTo(element.x, top);
          ctx.lineTo(element.x, bottom);
          for (const end of [top, bottom]) {
            ctx.moveTo(element.x - 5, end);
            ctx.lineTo(element.x + 5, end);
          }
          ctx.stroke();
        }
        ctx.restore();
      }
    },
  };
}

/** Marks invalid data: once across the chart if all of it is invalid, otherwise at each series. */
function warnings(drawing: Drawing, colors: Colors): Plugin {
  const isAll = drawing.series.every(({ isValid }) => !isValid);
  return {
    id: 'warnings',
    beforeDatasetsDraw: ({ ctx, chartArea: { left, right, top, bottom } }) => {
      if (!isAll) return;
      ctx.save();
      ctx.fillStyle = colors.warn;
      ctx.globalAlpha = 0.28;
      ctx.textAlign = 'center';
      ctx.textBaseline = 'middle';
      ctx.font = `bold ${Math.min(96, (right - left) / 7)}px system-ui, sans-serif`;
      ctx.fillText('INVALID', (left + right) / 2, (top + bottom) / 2);
      ctx.restore();
    },
    afterDatasetsDraw: (chart) => {
      if (isAll) return;
      const { ctx, chartArea } = chart;
      const taken: { readonly x: number; readonly y: number }[] = [];
      ctx.save();
      ctx.fillStyle = colors.warn;
      ctx.font = 'bold 12px system-ui, sans-serif';
      for (const [index, series] of drawing.series.entries()) {
        if (series.isValid || !chart.isDatasetVisible(index)) continue;
        const { data } = chart.getDatasetMeta(index);
        const last = data[data.length - 1];
        const places =
          drawing.shape === 'bars' ? series.points.flatMap(({ x }) => data[x] ?? []) : last === undefined ? [] : [last];
        for (const { x, y } of drawing.shape === 'points' ? data : places) {
          if (taken.some((other) => Math.abs(other.x - x) < 60 && Math.abs(other.y - y) < 14)) continue;
          taken.push({ x, y });
          ctx.textAlign = x > chartArea.right - 40 ? 'right' : 'center';
          ctx.fillText('INVALID', x, Math.max(y - 9, chartArea.top + 12));
        }
      }
      ctx.restore();
    },
  };
}

/** What happened when: a band or a line, with a word at its top. */
function happenings(marks: readonly Mark[], colors: Colors): Plugin {
  return {
    id: 'happenings',
    beforeDatasetsDraw: ({ ctx, scales, chartArea }) => {
      const x = scales['x'];
      if (x === undefined) return;
      ctx.save();
      ctx.font = '12px system-ui, sans-serif';
      for (const { from, to, label } of marks) {
        const [left, right] = [x.getPixelForValue(from), x.getPixelForValue(to)];
        if (left > chartArea.right) continue;
        ctx.fillStyle = colors.grid;
        ctx.fillRect(left, chartArea.top, Math.min(right, chartArea.right) - left, chartArea.bottom - chartArea.top);
        ctx.strokeStyle = colors.faint;
        ctx.setLineDash([4, 4]);
        ctx.beginPath();
        for (const edge of new Set([left, right])) {
          if (edge > chartArea.right) continue;
          ctx.moveTo(edge, chartArea.top);
          ctx.lineTo(edge, chartArea.bottom);
        }
        ctx.stroke();
        ctx.fillStyle = colors.ink;
        const isNearEnd = left > (chartArea.left + chartArea.right) / 2;
        ctx.textAlign = isNearEnd ? 'right' : 'left';
        ctx.fillText(label, left + (isNearEnd ? -4 : 4), chartArea.top - 6);
      }
      ctx.restore();
    },
  };
}

function optionsOf(drawing: Drawing, colors: Colors): ChartOptions<Shape> {
  return {
    animation: false,
    // A server that has no bar in a run leaves no gap there.
    skipNull: true,
    responsive: true,
    maintainAspectRatio: false,
    normalized: true,
    layout: { padding: { top: drawing.marks.length > 0 ? 20 : 8, right: 12 } },
    interaction: { mode: 'nearest', intersect: false },
    plugins: {
      legend: { display: false },
      title: { display: false },
      tooltip: {
        callbacks: {
          title: (items) => titleOf(items[0]?.parsed.x ?? 0, drawing),
          label: ({ dataset, datasetIndex, dataIndex, parsed }) => {
            const label = drawing.series[datasetIndex]?.points[dataIndex]?.label;
            const name = [dataset.label, ...(label === undefined ? [] : [label])].join(', ');
            return `${name}: ${numberFormat.format(parsed.y ?? 0)} ${drawing.y.title.split(', ').at(-1)}`;
          },
        },
      },
    },
    scales: {
      x: scaleOf(drawing.x, drawing, 'x', colors),
      y: scaleOf(drawing.y, drawing, 'y', colors),
    },
  };
}

function titleOf(x: number, drawing: Drawing): string {
  if (drawing.x.scale === 'categories') return drawing.categories[x] ?? '';
  if (drawing.x.scale === 'percentiles') return percentileLabel(x);
  return `${drawing.x.title}: ${numberFormat.format(x)}`;
}

const svgNamespace = 'http://www.w3.org/2000/svg';

/** The line and the marker of a series, as the chart has them. */
function swatch(series: Series, drawing: Drawing, colors: Colors): SVGSVGElement {
  const make = (name: string, attributes: Readonly<Record<string, string | number>>): SVGElement => {
    const element = document.createElementNS(svgNamespace, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
    return element;
  };
  const svg = document.createElementNS(svgNamespace, 'svg');
  svg.setAttribute('width', '34');
  svg.setAttribute('height', '14');
  svg.setAttribute('aria-hidden', 'true');
  const stroke = colorOf(series, colors);
  if (drawing.shape === 'bars') {
    svg.append(make('rect', { x: 10, y: 1, width: 12, height: 12, fill: stroke, stroke }));
    return svg;
  }
  if (drawing.shape === 'lines') {
    const dash = (dashes[series.dash % dashes.length] ?? []).join(' ');
    svg.append(make('line', { x1: 0, x2: 34, y1: 7, y2: 7, stroke, 'stroke-width': 2, 'stroke-dasharray': dash }));
  }
  const look = { fill: series.marks === 'hollow' ? colors.paper : stroke, stroke, 'stroke-width': 2 };
  switch (markers[series.color % markers.length]) {
    case 'rect':
      svg.append(make('rect', { x: 13, y: 3, width: 8, height: 8, ...look }));
      break;
    case 'triangle':
      svg.append(make('path', { d: 'M17 2 L22 11 L12 11 Z', ...look }));
      break;
    case 'rectRot':
      svg.append(make('path', { d: 'M17 2 L22 7 L17 12 L12 7 Z', ...look }));
      break;
    default:
      svg.append(make('circle', { cx: 17, cy: 7, r: 4, ...look }));
  }
  return svg;
}

const drawings = JSON.parse(document.querySelector('#charts')?.textContent ?? '[]') as readonly Drawing[];
const drawn = new Map<string, import('chart.js').Chart<Shape>>();
/** Series that the reader has switched off, by legend and index. */
const hidden = new Set<string>();

function draw(): void {
  const colors = readColors();
  for (const chart of drawn.values()) chart.destroy();
  drawn.clear();
  for (const drawing of drawings) {
    const canvas = document.querySelector<HTMLCanvasElement>(`[data-chart="${CSS.escape(drawing.id)}"] canvas`);
    if (canvas === null) continue;
    const chart = new Chart<Shape>(canvas, {
      type: drawing.shape === 'bars' ? 'bar' : drawing.shape === 'points' ? 'scatter' : 'line',
      data: { datasets: drawing.series.map((series) => datasetOf(series, drawing, colors)) },
      options: optionsOf(drawing, colors),
      plugins: [happenings(drawing.marks, colors), whiskers(drawing, colors), warnings(drawing, colors)],
    });
    drawn.set(drawing.id, chart);
  }
  for (const legend of document.querySelectorAll<HTMLElement>('[data-legend]')) fillLegend(legend, colors);
}

/** Buttons, so that a keyboard can switch a series off too; one legend may serve several charts. */
function fillLegend(legend: HTMLElement, colors: Colors): void {
  const ids = (legend.dataset['legend'] ?? '').split('|');
  const drawing = drawings.find(({ id }) => id === ids[0]);
  if (drawing === undefined) return;
  const buttons = drawing.series.map((series, index) => {
    const key = `${ids[0]}|${index}`;
    const button = document.createElement('button');
    button.type = 'button';
    button.append(swatch(series, drawing, colors), series.name);
    const show = (): void => {
      const isShown = !hidden.has(key);
      button.setAttribute('aria-pressed', String(isShown));
      for (const id of ids) drawn.get(id)?.setDatasetVisibility(index, isShown);
    };
    show();
    button.addEventListener('click', () => {
      if (!hidden.delete(key)) hidden.add(key);
      show();
      for (const id of ids) drawn.get(id)?.update();
    });
    return button;
  });
  legend.replaceChildren(...buttons);
  if (hidden.size > 0) for (const id of ids) drawn.get(id)?.update();
}

draw();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
document.documentElement.dataset['drawn'] = String(drawn.size);
