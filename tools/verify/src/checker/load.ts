/** Publishes on a schedule that does not depend on earlier publications. The streams take turns. */
import { setTimeout as delay } from 'node:timers/promises';
import { nowUs } from '@fanfare/kit/stamp';
import type { PublisherStream } from './publisher-stream.js';

interface LoadOptions {
  readonly streams: readonly PublisherStream[];
  /** Publications per second, over all streams together. */
  readonly perSecond: number;
  /** The number of publications of a stream that are sent together. Default: 1. */
  readonly burst?: number;
}

/** The interval between checks for due publications. */
const tickMs = 4;

export class Load {
  #running: Promise<void> | null = null;
  #isStopped = false;

  constructor(private readonly options: LoadOptions) {}

  get streams(): readonly PublisherStream[] {
    return this.options.streams;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves once nothing more is published; replies may still be missing. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    const { streams, perSecond, burst = 1 } = this.options;
    const startedUs = nowUs();
    const intervalUs = (1_000_000 / perSecond) * burst;
    for (let turn = 0; ; ) {
      const due = Math.floor((nowUs() - startedUs) / intervalUs) + 1;
      for (; turn < due; turn++) {
        const stream = streams[turn % streams.length];
        for (let count = 0; count < burst; count++) stream?.publish(Math.round(startedUs + turn * intervalUs));
      }
      if (this.#isStopped) return;
      await delay(tickMs);
    }
  }
}
