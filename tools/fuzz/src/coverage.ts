/** Which blocks of code ran, and how often: V8 counts them (precise coverage), so nothing has to be instrumented. */
import { readFileSync } from 'node:fs';
import { type Profiler, Session } from 'node:inspector';
import { fileURLToPath } from 'node:url';

/** What ran since the previous call. */
interface Ran {
  /** Each block that ran has a number. */
  readonly blocks: ReadonlySet<number>;
  /** How often all blocks ran in total: a measure of work that does not depend on the machine. */
  readonly steps: number;
}

export class Coverage {
  readonly #session = new Session();
  #suffixes: readonly string[] = [];
  /** What ran of each file while it was loaded. */
  readonly #loaded = new Map<string, readonly Profiler.FunctionCoverage[]>();
  /** For each function, where its blocks begin, and the number of each. */
  readonly #places = new Map<string, Map<number, number>>();
  #placeCount = 0;
  /** For each file, which of its characters ran. */
  readonly #painted = new Map<string, Uint8Array>();

  /** Call this before the code is loaded. */
  start(): void {
    this.#session.connect();
    this.#post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Counts only these files from now on, without what ran while they were loaded. */
  watch(files: readonly string[]): void {
    this.#take();
    this.#suffixes = files.map((file) => `/${file}.js`);
    this.#painted.clear();
    for (const [url, functions] of this.#loaded) {
      if (!this.#isWatched(url)) continue;
      const painted = new Uint8Array(readFileSync(fileURLToPath(url), 'utf8').length);
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) painted.fill(count > 0 ? 1 : 0, startOffset, endOffset);
      }
      this.#painted.set(url, painted);
    }
  }

  /** `isReached`: whether to keep the coverage for {@link lines}. */
  take(isReached = true): Ran {
    const blocks = new Set<number>();
    let steps = 0;
    for (const { url, functions } of this.#take()) {
      const painted = this.#painted.get(url);
      for (const { ranges } of functions) {
        if (ranges[0] === undefined || ranges[0].count === 0) continue;
        for (const { count } of ranges) steps += count;
        for (const block of this.#ranOf(url, ranges)) blocks.add(block);
        if (isReached && painted !== undefined) paint(painted, ranges);
      }
    }
    return { blocks, steps };
  }

  /** For each file, how many lines were reached, and how many there are. */
  lines(): { readonly file: string; readonly reached: number; readonly all: number; readonly missed: number[] }[] {
    return [...this.#painted].map(([url, painted]) => {
      const text = readFileSync(fileURLToPath(url), 'utf8');
      const missed: number[] = [];
      let reached = 0;
      let at = 0;
      for (const [index, line] of text.split('\n').entries()) {
        const code = line.replace(/\/\/.*/, '').trim();
        const start = at + line.length - line.trimStart().length;
        at += line.length + 1;
        if (!/[A-Za-z]/.test(code) || /^\*|^\/\*/.test(code)) continue;
        if (painted.subarray(start, start + code.length).includes(1)) reached++;
        else missed.push(index + 1);
      }
      return { file: url.replace(/.*\/(?=[\w-]+\/dist\/)/, ''), reached, all: reached + missed.length, missed };
    });
  }

  #take(): Profiler.ScriptCoverage[] {
    const { result } = this.#post('Profiler.takePreciseCoverage') as Profiler.TakePreciseCoverageReturnType;
    for (const { url, functions } of result) {
      if (url.startsWith('file:') && !this.#loaded.has(url)) this.#loaded.set(url, functions);
    }
    return result.filter(({ url }) => this.#isWatched(url));
  }

  #isWatched(url: string): boolean {
    return this.#suffixes.some((suffix) => url.endsWith(suffix));
  }

  /**
   * The blocks of a function that ran. V8 leaves out a block that ran as often as the one around it. So this code
   * collects every place where a range ever began or ended. Each such place identifies a block, and the current ranges
   * say whether it ran.
   */
  #ranOf(url: string, ranges: readonly Profiler.CoverageRange[]): number[] {
    const outer = ranges[0] as Profiler.CoverageRange;
    const name = `${url}:${outer.startOffset}`;
    const places = this.#places.get(name) ?? new Map<number, number>();
    this.#places.set(name, places);
    for (const { startOffset, endOffset } of ranges) {
      if (!places.has(startOffset)) places.set(startOffset, this.#placeCount++);
      if (endOffset < outer.endOffset && !places.has(endOffset)) places.set(endOffset, this.#placeCount++);
    }
    const ran: number[] = [];
    for (const [at, number] of places) {
      const inner = ranges.findLast(({ startOffset, endOffset }) => startOffset <= at && at < endOffset);
      if (inner !== undefined && inner.count > 0) ran.push(number);
    }
    return ran;
  }

  /** Within one process, the answer arrives before `post` returns. */
  #post(method: 'Profiler.enable' | 'Profiler.takePreciseCoverage'): unknown {
    let answer: unknown;
    this.#session.post(method, (error: Error | null, result?: unknown) => {
      if (error !== null) throw error;
      answer = result;
    });
    return answer;
  }
}

/** Ranges are nested, the outer ones first: each one is more precise than those before it. */
function paint(painted: Uint8Array, ranges: readonly Profiler.CoverageRange[]): void {
  const [outer] = ranges;
  if (outer === undefined || outer.count === 0) return;
  const now = new Uint8Array(outer.endOffset - outer.startOffset);
  for (const { startOffset, endOffset, count } of ranges) {
    now.fill(count > 0 ? 1 : 0, startOffset - outer.startOffset, endOffset - outer.startOffset);
  }
  for (let index = 0; index < now.length; index++) if (now[index] === 1) painted[outer.startOffset + index] = 1;
}
