/** Waits for the first sign that a node has noticed the fault: its `/readyz` returns 503, or it logs the loss. */
import type { ClusterUnderTest, NodeUnderTest } from './cluster-under-test.js';

const pollIntervalMs = 50;
const answerTimeoutMs = 500;

/** Log events of a node that has lost Redis. */
const lossEvent = /"event":"(redisLost|redisReset|redisError|busDead)"/;

export interface Detection {
  /** Since the start of the fault, in milliseconds. */
  readonly afterMs: number;
  /** For the report: which node noticed it, and how. */
  readonly how: string;
}

export class Watch implements AsyncDisposable {
  readonly #ended = new AbortController();
  #polling: Promise<unknown> = Promise.resolve();
  #detection: Detection | null = null;
  #beganAt = 0;

  constructor(private readonly cluster: ClusterUnderTest) {}

  get detection(): Detection | null {
    return this.#detection;
  }

  /** Call it when the fault starts. */
  start(): void {
    this.#beganAt = Date.now();
    this.#polling = Promise.all(this.cluster.nodes.map((node, index) => this.#poll(node, `node-${index}`)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#polling;
  }

  async #poll(node: NodeUnderTest, name: string): Promise<void> {
    while (this.#detection === null && !this.#ended.signal.aborted) {
      const began = performance.now();
      const sign = this.#signInLog(node) ?? (await this.#signOfReadiness(node));
      if (sign !== null) this.#detection ??= { afterMs: sign.atMs - this.#beganAt, how: `${name}: ${sign.how}` };
      const rest = pollIntervalMs - (performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, rest)));
    }
  }

  #signInLog(node: NodeUnderTest): { atMs: number; how: string } | null {
    for (const line of node.process.logs()) {
      const event = lossEvent.exec(line)?.[1];
      if (event === undefined) continue;
      const { time } = JSON.parse(line) as { time?: number };
      if (time !== undefined && time >= this.#beganAt) return { atMs: time, how: event };
    }
    return null;
  }

  async #signOfReadiness(node: NodeUnderTest): Promise<{ atMs: number; how: string } | null> {
    try {
      const signal = AbortSignal.any([this.#ended.signal, AbortSignal.timeout(answerTimeoutMs)]);
      const response = await fetch(`${node.process.adminUrl}/readyz`, { signal });
      await response.body?.cancel();
      return response.status === 503 ? { atMs: Date.now(), how: '/readyz' } : null;
    } catch {
      // The node is gone or paused: it has noticed nothing.
      return null;
    }
  }
}
