/** The connections of the pods, read a few times per second. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Pod } from './pod.js';

export interface Sample {
  /** Time since the start, in seconds of the Deployment. */
  readonly seconds: number;
  /** Connections of each pod that responds. */
  readonly connections: ReadonlyMap<string, number>;
  /** Connections opened so far, on all pods. */
  readonly opened: number;
  /** Handshakes refused so far because a pod was full. */
  readonly overCapacity: number;
}

const intervalMs = 100;

export class Samples implements AsyncDisposable {
  readonly #samples: Sample[] = [];
  readonly #beganAt = performance.now();
  /** The last counts of each pod, also of pods that have ended. */
  readonly #opened = new Map<string, number>();
  readonly #overCapacity = new Map<string, number>();
  readonly #running: Promise<void>;
  #isStopped = false;

  constructor(
    private readonly pods: () => readonly Pod[],
    private readonly timeScale: number,
  ) {
    this.#running = this.#run();
  }

  get all(): readonly Sample[] {
    return this.#samples;
  }

  get last(): Sample | null {
    return this.#samples.at(-1) ?? null;
  }

  /** In the Deployment's seconds. */
  get seconds(): number {
    return (performance.now() - this.#beganAt) / 1_000 / this.timeScale;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      await this.#look();
      await delay(intervalMs);
    }
  }

  async #look(): Promise<void> {
    const connections = new Map<string, number>();
    const pods = this.pods().filter(({ phase }) => phase !== 'gone');
    await Promise.all(
      pods.map(async (pod) => {
        const text = await pod.metrics();
        if (text === null) return;
        connections.set(pod.name, readMetric(text, 'fanfare_connections'));
        this.#opened.set(pod.name, readMetric(text, 'fanfare_connections_opened_total'));
        this.#overCapacity.set(pod.name, readMetric(text, 'fanfare_connections_over_capacity_total'));
      }),
    );
    const { seconds } = this;
    this.#samples.push({ seconds, connections, opened: sum(this.#opened), overCapacity: sum(this.#overCapacity) });
  }
}

function readMetric(text: string, metric: string): number {
  return Number(new RegExp(`^${metric} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((total, count) => total + count, 0);
}
