/** Publishes on a schedule, whatever has become of what was published before: the lanes take turns. */
import { setTimeout as delay } from 'node:timers/promises';
import { nowUs } from '@fanfare/kit/stamp';
import type { Lane } from './lane.js';

export interface LoadOptions {
  readonly lanes: readonly Lane[];
  /** Publications a second, over all lanes together. */
  readonly perSecond: number;
  /** How many of a lane leave together. Default: 1. */
  readonly burst?: number;
}

/** How often it looks what is due. */
const tickMs = 4;

export class Load {
  readonly #options: LoadOptions;
  #running: Promise<void> | null = null;
  #isStopped = false;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  get lanes(): readonly Lane[] {
    return this.#options.lanes;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves once nothing more is published; answers may be still to come. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    const { lanes, perSecond, burst = 1 } = this.#options;
    const startedUs = nowUs();
    const intervalUs = (1_000_000 / perSecond) * burst;
    for (let turn = 0; ; ) {
      const due = Math.floor((nowUs() - startedUs) / intervalUs) + 1;
      for (; turn < due; turn++) {
        const lane = lanes[turn % lanes.length];
        for (let count = 0; count < burst; count++) lane?.publish(Math.round(startedUs + turn * intervalUs));
      }
      if (this.#isStopped) return;
      await delay(tickMs);
    }
  }
}
