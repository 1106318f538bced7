/** A chart as the page draws it: what is in it, not how it looks. It travels as JSON, so it holds plain values only. */

type Scale =
  | 'linear'
  | 'log'
  /** x is 1 / (1 - p) of a percentile p, on a log axis that is labelled 50 %, 90 %, 99 %… */
  | 'percentiles'
  /** x is an index of {@link Chart.categories}. */
  | 'categories';

export interface Axis {
  /** With its unit. */
  readonly title: string;
  readonly scale: Scale;
}

export interface Point {
  readonly x: number;
  readonly y: number;
  /** Lowest and highest of the rounds, drawn as a whisker. */
  readonly low?: number;
  readonly high?: number;
  /** An explanation, if the series and the axes need one. */
  readonly label?: string;
}

export interface Series {
  readonly name: string;
  /** Which color and marker; the same for the same server in all charts. */
  readonly color: number;
  /** Which pattern of dashes; the same for the same run in a chart. */
  readonly dash: number;
  /** The look of the points; `hollow` distinguishes two kinds of points of one server. */
  readonly marks: 'none' | 'full' | 'hollow';
  /** Invalid figures are faint and labelled. */
  readonly isValid: boolean;
  readonly points: readonly Point[];
}

/** A stretch of the x axis in which something happened, or a moment of it. */
export interface Mark {
  readonly from: number;
  readonly to: number;
  readonly label: string;
}

export interface Chart {
  readonly id: string;
  readonly shape: 'lines' | 'points' | 'bars';
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly categories: readonly string[];
  readonly series: readonly Series[];
  readonly marks: readonly Mark[];
}

/** A chart with the text around it. */
export interface Figure {
  readonly chart: Chart;
  /** The content of the chart, in one or two sentences. */
  readonly about: string;
  /** What was left out and why. */
  readonly notes: readonly string[];
  /** The same data as a table, for readers who cannot see the chart or want to copy numbers. */
  readonly numbers: { readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] };
}

/** A logarithmic axis if a linear one would hide the small values. */
export function scaleOf(values: readonly number[]): 'linear' | 'log' {
  const positive = values.filter((value) => value > 0);
  return positive.length === values.length && Math.max(...positive) / Math.min(...positive) > 20 ? 'log' : 'linear';
}
