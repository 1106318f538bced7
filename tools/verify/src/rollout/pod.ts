/**
 * The lifecycle of one pod, as the kubelet manages it: start, startup, readiness and liveness probes, and termination
 * by preStop, SIGTERM, grace period and SIGKILL. Here it is a process.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Child, findFreePort } from '@fanfare/local-cluster';
import type { DeploymentSpec, Probe } from './deployment-spec.js';

type PodPhase = 'starting' | 'running' | 'terminating' | 'gone';

interface PodSettings {
  readonly name: string;
  readonly spec: DeploymentSpec;
  readonly command: readonly [string, ...string[]];
  /** Overrides variables of the Deployment: the addresses of this machine. */
  readonly environment: Readonly<Record<string, string>>;
  /** How long one second of the Deployment lasts in this run, in seconds. */
  readonly timeScale: number;
  /** Called when the readiness or the phase has changed. */
  onChange(pod: Pod): void;
}

/** How a pod ended. */
export interface PodEnd {
  /** Null if a signal ended the pod: it crashed or was killed. */
  readonly code: number | null;
  /** Whether SIGKILL ended the pod after the grace period. */
  readonly wasKilled: boolean;
  /** The length of its termination, in seconds of the Deployment. */
  readonly seconds: number;
}

/**
 * How long a node keeps running after its last publication (broker/src/relay/memory-times.ts). The time scale does not
 * change it.
 */
const unscaledMs = 7_000;

export class Pod implements AsyncDisposable {
  readonly name: string;
  #child: Child | null = null;
  #phase: PodPhase = 'starting';
  #readySince: number | null = null;
  #end: Promise<PodEnd> | null = null;
  #restarts = 0;

  static async start(settings: PodSettings): Promise<Pod> {
    const pod = new Pod(settings, await findFreePort(), await findFreePort());
    pod.#run();
    void pod.#watch();
    return pod;
  }

  private constructor(
    private readonly settings: PodSettings,
    /** The port for clients on this machine. */
    readonly clientPort: number,
    private readonly adminPort: number,
  ) {
    this.name = settings.name;
  }

  /** The metrics of `/metrics`; null while the pod does not respond. */
  async metrics(): Promise<string | null> {
    try {
      const response = await fetch(`${this.#adminUrl}/metrics`, { signal: AbortSignal.timeout(1_000) });
      return await response.text();
    } catch {
      return null;
    }
  }

  get phase(): PodPhase {
    return this.#phase;
  }

  get isReady(): boolean {
    return this.#readySince !== null;
  }

  /** Whether the pod has been ready for as long as the Deployment requires. */
  get isAvailable(): boolean {
    const { spec, timeScale } = this.settings;
    return (
      this.#readySince !== null && performance.now() - this.#readySince >= spec.minReadySeconds * 1_000 * timeScale
    );
  }

  /** The number of restarts, after a failed liveness probe or an exit. */
  get restarts(): number {
    return this.#restarts;
  }

  logs(): string[] {
    return this.#child?.logs() ?? [];
  }

  /** preStop, SIGTERM, and SIGKILL after the grace period. Repeated calls return the same promise. */
  terminate(): Promise<PodEnd> {
    this.#end ??= this.#terminate();
    return this.#end;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#phase = 'gone';
    await this.#child?.kill();
  }

  get #adminUrl(): string {
    return `http://127.0.0.1:${this.adminPort}`;
  }

  #run(): void {
    const { name, spec, command, environment } = this.settings;
    const { PATH } = process.env;
    this.#child = new Child({
      command,
      env: {
        ...(PATH === undefined ? {} : { PATH }),
        ...spec.environment(name),
        ...environment,
        FANFARE_PORT: String(this.clientPort),
        FANFARE_ADMIN_PORT: String(this.adminPort),
      },
    });
  }

  async #watch(): Promise<void> {
    const { spec, onChange } = this.settings;
    let readinessFailures = 0;
    let livenessFailures = 0;
    if (!(await this.#hasStarted())) return this.#restart();
    if (this.#phase !== 'starting') return;
    this.#phase = 'running';
    onChange(this);
    const liveness = this.#each(spec.livenessProbe, (isGood) => {
      livenessFailures = isGood ? 0 : livenessFailures + 1;
      return livenessFailures < spec.livenessProbe.failureThreshold;
    });
    void this.#each(spec.readinessProbe, (isGood) => {
      readinessFailures = isGood ? 0 : readinessFailures + 1;
      if (isGood) this.#readySince ??= performance.now();
      else if (readinessFailures >= spec.readinessProbe.failureThreshold) this.#readySince = null;
      onChange(this);
      return true;
    });
    await liveness;
    if (this.#phase === 'running') await this.#restart();
  }

  async #hasStarted(): Promise<boolean> {
    let failures = 0;
    let hasStarted = false;
    await this.#each(this.settings.spec.startupProbe, (isGood) => {
      hasStarted = isGood;
      failures++;
      return !isGood && failures < this.settings.spec.startupProbe.failureThreshold;
    });
    return hasStarted;
  }

  /** Probes until `heed` returns false or the pod terminates. */
  async #each(probe: Probe, heed: (isGood: boolean) => boolean): Promise<void> {
    const isAsked = (): boolean => this.#phase === 'starting' || this.#phase === 'running';
    while (isAsked()) {
      const isGood = await this.#ask(probe);
      if (!isAsked() || !heed(isGood)) return;
      await delay(probe.periodSeconds * 1_000 * this.settings.timeScale);
    }
  }

  async #ask({ path, timeoutSeconds }: Probe): Promise<boolean> {
    try {
      // The timeout of a probe is not scaled: the time scale does not make the machine faster.
      const signal = AbortSignal.timeout(timeoutSeconds * 1_000);
      const response = await fetch(`${this.#adminUrl}${path}`, { signal });
      await response.body?.cancel();
      return response.status >= 200 && response.status < 400;
    } catch {
      return false;
    }
  }

  async #restart(): Promise<void> {
    if (this.#phase === 'terminating' || this.#phase === 'gone') return;
    this.#restarts++;
    this.#readySince = null;
    this.#phase = 'starting';
    this.settings.onChange(this);
    await this.#child?.kill();
    this.#run();
    void this.#watch();
  }

  async #terminate(): Promise<PodEnd> {
    const { spec, timeScale, onChange } = this.settings;
    const beganAt = performance.now();
    this.#phase = 'terminating';
    this.#readySince = null;
    onChange(this);
    await delay(spec.preStopSeconds * 1_000 * timeScale);
    // The grace period begins with preStop, not after it.
    const scaledMs = (spec.terminationGracePeriodSeconds - spec.preStopSeconds) * 1_000 * timeScale;
    const graceMs = scaledMs + (1 - timeScale) * unscaledMs;
    const end = (await this.#child?.stop(graceMs).then(
      (code) => ({ code, wasKilled: false }),
      // The pod did not exit in time.
      () => ({ code: null, wasKilled: true }),
    )) ?? { code: null, wasKilled: false };
    this.#phase = 'gone';
    onChange(this);
    return { ...end, seconds: (performance.now() - beganAt) / 1_000 / timeScale };
  }
}
