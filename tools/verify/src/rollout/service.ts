/** A Service: one address for the pods that are ready. It learns of changes a moment later, as in a cluster. */
import { setTimeout as delay } from 'node:timers/promises';
import { Balancer } from '@fanfare/local-cluster';
import type { Pod } from './pod.js';

export class Service implements AsyncDisposable {
  /** The state of each pod that it will apply after the delay. */
  readonly #wanted = new Map<Pod, boolean>();

  /** `delayMs`: how long a change of a pod takes to reach the balancer. */
  static async start(delayMs: number): Promise<Service> {
    const connectedAt: number[] = [];
    const onConnection = (): void => void connectedAt.push(performance.now());
    return new Service(await Balancer.start({ ports: [], onConnection }), delayMs, connectedAt);
  }

  private constructor(
    private readonly balancer: Balancer,
    private readonly delayMs: number,
    /** The time of each connection, by performance.now(), in order. */
    readonly connectedAt: readonly number[],
  ) {}

  /** Where clients connect. */
  get url(): string {
    return this.balancer.url;
  }

  /** Call it at each change of the pod. */
  update(pod: Pod): void {
    const isWanted = pod.isReady && pod.phase === 'running';
    if (this.#wanted.get(pod) === isWanted) return;
    this.#wanted.set(pod, isWanted);
    void delay(this.delayMs).then(() => {
      if (isWanted) this.balancer.add(pod.clientPort);
      else this.balancer.remove(pod.clientPort);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.balancer[Symbol.asyncDispose]();
  }
}
