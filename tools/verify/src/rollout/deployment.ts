/** Runs a Deployment like Kubernetes: it starts new pods before it stops old ones, and keeps enough pods available. */
import { setTimeout as delay } from 'node:timers/promises';
import type { DeploymentSpec } from './deployment-spec.js';
import { Pod, type PodEnd } from './pod.js';

interface DeploymentSettings {
  readonly spec: DeploymentSpec;
  readonly command: readonly [string, ...string[]];
  /** Overrides variables of the Deployment: the addresses of this machine. */
  readonly environment: Readonly<Record<string, string>>;
  /** How long one second of the Deployment lasts in this run, in seconds. */
  readonly timeScale: number;
  onPodChange(pod: Pod): void;
  /** Adds a sentence to the timeline. */
  say(sentence: string): void;
  /** Reports something that must not happen. */
  reportProblem(sentence: string): void;
}

interface Placed {
  readonly pod: Pod;
  readonly generation: number;
}

const reconcileMs = 20;

export class Deployment implements AsyncDisposable {
  readonly #placed: Placed[] = [];
  readonly #ending = new Set<Promise<void>>();
  #replicas: number;
  #generation = 1;
  #started = 0;

  constructor(private readonly settings: DeploymentSettings) {
    this.#replicas = settings.spec.replicas;
  }

  /** All pods, including those that have ended. */
  get pods(): readonly Pod[] {
    return this.#placed.map(({ pod }) => pod);
  }

  get replicas(): number {
    return this.#replicas;
  }

  /** Resolves once this many pods are available and all others are gone. */
  async scale(replicas: number): Promise<void> {
    this.#replicas = replicas;
    await this.#reconcile();
  }

  /**
   * Replaces each pod with one of the next generation, as after a change of the template. Resolves once that is done.
   */
  async replaceAll(): Promise<void> {
    this.#generation++;
    await this.#reconcile();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.pods.map((pod) => pod[Symbol.asyncDispose]()));
  }

  async #reconcile(): Promise<void> {
    while (!(await this.#step())) await delay(reconcileMs);
    await Promise.all(this.#ending);
  }

  /** Returns whether the pods match the desired state. */
  async #step(): Promise<boolean> {
    const { maxSurge, maxUnavailable } = this.settings.spec;
    // Terminating pods do not count: the next pod starts meanwhile.
    const live = this.#placed.filter(({ pod }) => pod.phase === 'starting' || pod.phase === 'running');
    const old = live.filter(({ generation }) => generation !== this.#generation);
    const fresh = live.filter(({ generation }) => generation === this.#generation);
    const available = live.filter(({ pod }) => pod.isAvailable);
    if (fresh.length < this.#replicas && live.length < this.#replicas + (old.length > 0 ? maxSurge : 0)) {
      await this.#start();
      return false;
    }
    // The youngest pod first, like a ReplicaSet; pods of old generations one after the other.
    const surplus = fresh.length > this.#replicas ? fresh.at(-1) : old[0];
    const least = this.#replicas - (old.length > 0 ? maxUnavailable : 0);
    if (surplus !== undefined) {
      const left = available.length - (surplus.pod.isAvailable ? 1 : 0);
      if (left >= least) this.#terminate(surplus.pod);
      return false;
    }
    return fresh.length === this.#replicas && available.length === this.#replicas;
  }

  async #start(): Promise<void> {
    const { spec, command, environment, timeScale, onPodChange, say, reportProblem } = this.settings;
    const name = `${spec.name}-${this.#generation}-${++this.#started}`;
    say(`${name} is started`);
    let wasReady = false;
    const pod = await Pod.start({
      name,
      spec,
      command,
      environment,
      timeScale,
      onChange: (changed) => {
        if (changed.isReady && !wasReady) say(`${name} is ready`);
        else if (!changed.isReady && wasReady && changed.phase === 'running') reportProblem(`${name} became unready`);
        if (changed.restarts > 0) reportProblem(`${name} was restarted`);
        wasReady = changed.isReady;
        onPodChange(changed);
      },
    });
    this.#placed.push({ pod, generation: this.#generation });
  }

  #terminate(pod: Pod): void {
    const { say } = this.settings;
    say(`${pod.name} terminates: preStop, then SIGTERM`);
    const ending = pod.terminate().then((end) => {
      this.#ending.delete(ending);
      this.#judge(pod.name, end);
    });
    this.#ending.add(ending);
  }

  #judge(name: string, { code, wasKilled, seconds }: PodEnd): void {
    const { say, reportProblem, spec } = this.settings;
    const how = code === null ? 'by a signal' : `with code ${code}`;
    say(`${name} has ended after ${seconds.toFixed(1)} s of its ${spec.terminationGracePeriodSeconds} s, ${how}`);
    if (wasKilled) reportProblem(`${name} had to be killed after its grace period`);
    else if (code === null) reportProblem(`${name} crashed during its termination: an unexpected signal ended it`);
    else if (code !== 0) reportProblem(`${name} ended with code ${code}, not 0`);
  }
}
