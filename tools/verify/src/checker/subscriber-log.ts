/**
 * The deliveries to one subscriber of one topic: a few numbers for each stream, and the holes. Only the outcomes of the
 * publications show what a hole means, so `judge` compares them at the end.
 */
import type { Position } from '@fanfare/client';
import { addFindings, type FindingCount, type Findings, find, noFindings } from './findings.js';
import { readNumbered } from './numbered.js';
import type { LedgerEntries } from './publish-ledger.js';
import { RangeSet } from './range-set.js';
import type { TopicOrder } from './topic-order.js';

interface SubscriberLogSettings {
  /** The subscriber and its topic, for examples. */
  readonly name: string;
  /** The streams that publish to its topic. */
  readonly streams: readonly number[];
  /** The last number that a stream has published so far: a reported gap covers only numbers up to it. */
  readonly published: (stream: number) => number;
  readonly order: TopicOrder;
  /** The maximum number of holes for each stream; others are counted as `untracked`. */
  readonly maxHoles?: number;
}

interface StreamView {
  /** The first number that must arrive; null before the subscription is confirmed. */
  first: number | null;
  /** The highest number that arrived. */
  last: number;
  /** The last number that gaps and resets since the last delivery cover. */
  reportedUpTo: number;
  readonly holes: RangeSet;
  readonly reportedHoles: RangeSet;
  /** Numbers that arrived after a higher number. */
  readonly late: RangeSet;
}

export class SubscriberLog {
  readonly #streams = new Map<number, StreamView>();
  readonly #findings = noFindings();
  /** The position before that of the next delivery; null if it is not known yet. */
  #position: Position | null = null;
  /** Whether a gap since the last delivery had no position. */
  #isReported = false;

  constructor(private readonly settings: SubscriberLogSettings) {
    const { streams, maxHoles = 1_024 } = settings;
    for (const stream of streams) {
      const [holes, reportedHoles, late] = [new RangeSet(maxHoles), new RangeSet(maxHoles), new RangeSet(maxHoles)];
      this.#streams.set(stream, { first: null, last: 0, reportedUpTo: 0, holes, reportedHoles, late });
    }
  }

  get streams(): readonly number[] {
    return this.settings.streams;
  }

  /** The findings so far; `judge` finds losses. */
  get findings(): Readonly<Findings> {
    return this.#findings;
  }

  /**
   * The node has confirmed the subscription: later publications must arrive, after `position`. Later
   * confirmations change nothing.
   */
  confirm(position: Position | null): void {
    this.#position ??= position;
    for (const [stream, view] of this.#streams) {
      if (view.first !== null) continue;
      view.first = this.settings.published(stream) + 1;
      view.last = view.first - 1;
    }
  }

  /** Returns the planned time of the publication; null if it is not a new publication. */
  deliver(data: unknown, position: Position | null): number | null {
    const findings = this.#findings;
    findings.delivered++;
    const publication = readNumbered(data);
    const view = publication === null ? undefined : this.#streams.get(publication.stream);
    if (publication === null || view === undefined) {
      this.#found(
        'corrupt',
        publication === null ? 'a damaged publication' : `a publication of stream ${publication.stream}`,
      );
      return null;
    }
    const { stream, n, plannedUs } = publication;
    const isNew = this.#take(view, n, stream);
    this.#move(position, stream, n, isNew);
    this.#isReported = false;
    return isNew ? plannedUs : null;
  }

  /** A gap or reset was reported: missing publications up to `position` that were published before now are excused. */
  report(event: 'gap' | 'reset', position: Position | null): void {
    if (event === 'gap') this.#findings.reportedGaps++;
    else this.#findings.reportedResets++;
    this.#isReported = position === null;
    this.#position = position ?? this.#position;
    for (const [stream, view] of this.#streams) view.reportedUpTo = this.settings.published(stream);
  }

  /** The subscription ended unexpectedly. */
  end(reason: string): void {
    this.#found('ended', `the end of its subscription: ${reason}`);
  }

  /** A publication arrived that the client could not decode. */
  damage(reason: string): void {
    this.#found('corrupt', `an error instead of a publication: ${reason}`);
  }

  /**
   * The number up to which the stream has arrived, or is reported as missing. Infinity if this client does not read it.
   */
  reached(stream: number): number {
    const view = this.#streams.get(stream);
    return view === undefined ? Number.POSITIVE_INFINITY : Math.max(view.last, view.reportedUpTo);
  }

  /** All findings, given the outcomes of the publications. */
  judge(ledgerOf: (stream: number) => LedgerEntries): Findings {
    const findings = noFindings();
    addFindings(findings, this.#findings);
    for (const [stream, view] of this.#streams) this.#judgeStream(findings, stream, view, ledgerOf(stream));
    return findings;
  }

  #take(view: StreamView, n: number, stream: number): boolean {
    const { holes, reportedHoles, late } = view;
    if (n > view.last) {
      // The first delivery may have been published before the confirmation. Everything after it must arrive.
      const expected = view.first === null ? n : view.last + 1;
      view.first ??= n;
      const reportedTo = Math.min(n - 1, view.reportedUpTo);
      this.#remember(reportedHoles, expected, reportedTo);
      this.#remember(holes, Math.max(expected, reportedTo + 1), n - 1);
      view.last = n;
      view.reportedUpTo = 0;
      return true;
    }
    if (holes.remove(n) || reportedHoles.remove(n)) {
      this.#remember(late, n, n);
      return true;
    }
    if (view.first !== null && n < view.first) {
      // In transit at the confirmation: it may arrive first, and everything after it must arrive too.
      if (view.last >= view.first) this.#remember(late, n, n);
      else view.last = n;
      view.first = n;
      return true;
    }
    this.#found('duplicates', `${n} of stream ${stream} again, behind ${view.last}`);
    return false;
  }

  #move(position: Position | null, stream: number, n: number, isNew: boolean): void {
    if (position === null) {
      this.#findings.withoutPosition++;
      return;
    }
    const before = this.#position;
    const step = before?.epoch === position.epoch ? position.offset - before.offset : 1;
    if (step > 0) this.#position = position;
    if (this.settings.order.note(position, stream, n) === 'disagreed') {
      this.#found(
        'disagreements',
        `${n} of stream ${stream} at ${position.epoch}/${position.offset}, where others have another`,
      );
    }
    if (before === null) return;
    if (before.epoch !== position.epoch) {
      if (!this.#isReported)
        this.#found('silentResets', `epoch ${position.epoch} behind ${before.epoch}, without an event`);
      return;
    }
    if (step > 1 && !this.#isReported) {
      this.#found(
        'silentGaps',
        `offset ${position.offset} behind ${before.offset} in ${position.epoch}, without an event`,
      );
    }
    // A duplicate has already been counted.
    if (step < 1 && isNew) this.#found('outOfOrder', `offset ${position.offset} behind ${before.offset}`);
  }

  #remember(ranges: RangeSet, from: number, to: number): void {
    if (!ranges.add(from, to)) this.#found('untracked', `too much to remember: ${from} to ${to}`);
  }

  #judgeStream(findings: Findings, stream: number, view: StreamView, ledger: LedgerEntries): void {
    const { name } = this.settings;
    const { published, lastAcknowledged } = ledger;
    const { holes, reportedHoles, late, first, last, reportedUpTo } = view;
    const [unknown, excused] = [new RangeSet(), new RangeSet()];
    for (const { from, to } of ledger.unknown) unknown.add(from, to);
    for (const { from, to } of [...ledger.refused, ...ledger.unknown]) excused.add(from, to);
    const miss = (what: 'lost' | 'lostButReported', from: number, to: number): void => {
      const count = from > to ? 0 : to - from + 1 - excused.countIn(from, to);
      find(findings, what, count, `${name} never got ${words(from, to)} of stream ${stream}.`);
    };
    // If a number arrived that was never published, the numbers before it are not losses.
    for (const { from, to } of holes.ranges) miss('lost', from, Math.min(to, published));
    for (const { from, to } of reportedHoles.ranges) miss('lostButReported', from, to);
    // The tail: no later delivery shows its hole. A subscription that was never confirmed promises nothing.
    if (first !== null && last < lastAcknowledged) {
      const reportedTo = Math.min(lastAcknowledged, Math.max(last, reportedUpTo));
      miss('lostButReported', last + 1, reportedTo);
      miss('lost', reportedTo + 1, lastAcknowledged);
    }
    find(
      findings,
      'corrupt',
      Math.max(0, last - published),
      `${name} got ${last} of stream ${stream}, last published ${published}.`,
    );
    for (const { from, to } of late.ranges) {
      const inDoubt = unknown.countIn(from, to);
      const example = `${name} got ${words(from, to)} of stream ${stream} behind a later one.`;
      find(findings, 'lateInDoubt', inDoubt, example);
      find(findings, 'outOfOrder', to - from + 1 - inDoubt, example);
    }
    if (first === null) return;
    for (const range of ledger.refused) {
      const [from, to] = [Math.max(range.from, first), Math.min(range.to, last)];
      const got = from > to ? 0 : to - from + 1 - holes.countIn(from, to) - reportedHoles.countIn(from, to);
      find(
        findings,
        'refusedButDelivered',
        got,
        `${name} got ${got} of ${words(from, to)} of stream ${stream}, which were refused.`,
      );
    }
  }

  #found(what: FindingCount, example: string): void {
    find(this.#findings, what, 1, `${this.settings.name} got ${example}.`);
  }
}

function words(from: number, to: number): string {
  return from === to ? String(from) : `${from} to ${to}`;
}
