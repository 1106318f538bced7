/**
 * Runs several nodes on one machine: starts workers that share a port, restarts those that exit, and serves the admin
 * port for all. No traffic of clients passes through it.
 */
import { createLineWriter, type Log } from '../../observe/log.js';
import { workerMetrics } from '../../observe/metrics.js';
import type { Config } from '../../settings/config.js';
import { Admin, aboutOf, type Readiness } from '../admin.js';
import { longestStopMs } from '../drain.js';
import { mergeMetrics } from './merge-metrics.js';
import type { Answers } from './messages.js';
import { claimPort } from './port-claim.js';
import { canDieWithSupervisor, exitCode, type WorkerEnd, WorkerProcess } from './worker-process.js';

/**
 * Delay before an exited worker is restarted. It doubles each time, unless the worker had run for longer than the
 * longest delay.
 */
const firstDelayMs = 100;
const longestDelayMs = 10_000;

/**
 * Kubernetes gives up a readiness probe after a second by default. It must learn earlier which worker does not respond.
 */
const readinessTimeoutMs = 500;
const metricsTimeoutMs = 2_000;

/**
 * Extra time for a worker to exit, in milliseconds, before it is killed: a suspended or hanging worker would never
 * exit.
 */
const endGraceMs = 4_000;

/** The slot of a worker, which keeps its number across restarts. */
interface Slot {
  readonly worker: number;
  child: WorkerProcess | null;
  startedAt: number;
  hasListened: boolean;
  restarts: number;
  delayMs: number;
  timer: NodeJS.Timeout | undefined;
}

export class Supervisor {
  /** Resolves when each worker has listened once. Rejects, after all workers have exited, if one cannot start. */
  readonly listening: Promise<void>;
  readonly #config: Config;
  readonly #port: number;
  readonly #log: Log;
  readonly #writeLine = createLineWriter();
  readonly #slots: readonly Slot[];
  #admin: Admin | null = null;
  #isStopping = false;
  #settleListening: (refusal: Error | null) => void = () => undefined;

  private constructor(config: Config, port: number, log: Log) {
    this.#config = config;
    this.#port = port;
    this.#log = log;
    this.#slots = Array.from({ length: config.workers }, (_, index) => ({
      worker: index + 1,
      child: null,
      startedAt: 0,
      hasListened: false,
      restarts: 0,
      delayMs: firstDelayMs,
      timer: undefined,
    }));
    this.listening = new Promise((resolve, reject) => {
      this.#settleListening = (refusal) => (refusal === null ? resolve() : reject(refusal));
    });
    // Without `setpriv`, workers notice a closed channel, but not if their event loop is stuck.
    process.once('exit', () => this.#killAll());
  }

  /** Resolves when the workers have been started. */
  static async start(config: Config, log: Log): Promise<Supervisor> {
    const supervisor = new Supervisor(config, await claimPort(config), log);
    supervisor.#admin = await Admin.start(config, {
      about: () => aboutOf(config, supervisor.#port),
      stuck: () => supervisor.#stuck(),
      readiness: () => supervisor.#readiness(),
      metrics: () => supervisor.#metrics(),
    });
    if (!canDieWithSupervisor) {
      log.warn(
        { event: 'setprivMissing' },
        'The system has no setpriv (package util-linux). If this supervisor is killed while a worker hangs, the worker survives and keeps the port. Install setpriv.',
      );
    }
    for (const slot of supervisor.#slots) supervisor.#startWorker(slot);
    return supervisor;
  }

  /**
   * Drains all workers at the same time, and kills those that do not exit in time. Resolves with the highest of their
   * exit codes.
   */
  async drain({ atOnce = false }: { readonly atOnce?: boolean } = {}): Promise<number> {
    this.#isStopping = true;
    const drainWindowMs = atOnce ? 0 : this.#config.drainWindowMs;
    const afterMs = longestStopMs({ ...this.#config, drainWindowMs }) + endGraceMs;
    const killing = setTimeout(() => this.#killLate(afterMs), afterMs);
    const ends: Array<Promise<WorkerEnd>> = [];
    for (const { child, timer } of this.#slots) {
      clearTimeout(timer);
      if (child === null) continue;
      child.stop(atOnce);
      ends.push(child.ended);
    }
    const codes = (await Promise.all(ends)).map(exitCode);
    clearTimeout(killing);
    await this.#admin?.close();
    this.#log.info({ event: 'stopped' }, 'All workers have exited.');
    return Math.max(0, ...codes);
  }

  #startWorker(slot: Slot): void {
    const { worker } = slot;
    slot.startedAt = performance.now();
    const child = new WorkerProcess({
      worker,
      env: {
        ...process.env,
        FANFARE_WORKERS: '1',
        FANFARE_PORT: String(this.#port),
        FANFARE_NODE_NAME: `${this.#config.nodeName}-${worker}`,
      },
      onLine: this.#writeLine,
      onListening: () => this.#onListening(slot),
    });
    slot.child = child;
    this.#log.info(
      { event: 'workerStarted', worker, pid: child.pid },
      `Started worker ${worker} as process ${child.pid}.`,
    );
    void child.ended.then((end) => this.#onEnded(slot, end));
  }

  #onListening(slot: Slot): void {
    if (slot.hasListened) return;
    slot.hasListened = true;
    if (!this.#haveListened || this.#isStopping) return;
    this.#settleListening(null);
    const { host, nodeName, workers, tlsCertFile } = this.#config;
    const scheme = tlsCertFile === null ? 'ws' : 'wss';
    const [port, adminPort] = [this.#port, this.#admin?.port];
    this.#log.info(
      { event: 'listening', port, adminPort, pid: process.pid },
      `The ${workers} workers of ${nodeName} listen on ${scheme}://${host}:${port}/ws; health and metrics on port ${adminPort}.`,
    );
  }

  #onEnded(slot: Slot, end: WorkerEnd): void {
    slot.child = null;
    if (this.#isStopping) return;
    const { code, signal, sentences } = end;
    const why = sentences.length > 0 ? sentences.join(' ') : undefined;
    if (why !== undefined && !this.#haveListened) return this.#refuse(why);
    const { worker } = slot;
    if (performance.now() - slot.startedAt > longestDelayMs) slot.delayMs = firstDelayMs;
    const againInMs = slot.delayMs;
    this.#log.error(
      { event: 'workerEnded', worker, code, signal, why, againInMs },
      `Worker ${worker} exited unexpectedly (${why ?? signal ?? `code ${code}`}). Restarting it in ${againInMs} ms.`,
    );
    slot.delayMs = Math.min(longestDelayMs, againInMs * 2);
    slot.timer = setTimeout(() => {
      slot.restarts++;
      this.#startWorker(slot);
    }, againInMs);
  }

  /** A worker cannot start: stops all, and reports the reason once, as a single node would. */
  #refuse(sentence: string): void {
    this.#isStopping = true;
    this.#killAll();
    const running = this.#slots.map(({ child }) => child?.ended);
    void Promise.all([...running, this.#admin?.close()]).then(() => this.#settleListening(new Error(sentence)));
  }

  #killLate(afterMs: number): void {
    for (const { worker, child } of this.#slots) {
      if (child === null) continue;
      this.#log.error(
        { event: 'workerKilled', worker, pid: child.pid, afterMs },
        `Worker ${worker} did not exit within ${afterMs} ms. It hangs or is suspended. Killing it.`,
      );
      child.kill();
    }
  }

  #killAll(): void {
    for (const { child, timer } of this.#slots) {
      clearTimeout(timer);
      child?.kill();
    }
  }

  get #haveListened(): boolean {
    return this.#slots.every(({ hasListened }) => hasListened);
  }

  async #stuck(): Promise<string | null> {
    const answers = await ask(this.#slots, 'readiness', readinessTimeoutMs);
    // An exited worker is being restarted, so it does not count as stuck.
    const silent = answers.filter(({ isListening, answer }) => isListening && answer === null);
    return silent.length === 0 ? null : silent.map(({ worker }) => `worker ${worker} does not respond`).join('; ');
  }

  async #readiness(): Promise<Readiness> {
    if (this.#isStopping) return { isReady: false, reason: 'draining' };
    const reasons: string[] = [];
    for (const { worker, answer, isListening } of await ask(this.#slots, 'readiness', readinessTimeoutMs)) {
      if (!isListening) reasons.push(`worker ${worker}: starting`);
      else if (answer === null) reasons.push(`worker ${worker}: does not respond`);
      else if (!answer.isReady) reasons.push(`worker ${worker}: ${answer.reason}`);
    }
    return { isReady: reasons.length === 0, reason: reasons.length === 0 ? 'serving' : reasons.join('; ') };
  }

  async #metrics(): Promise<string> {
    const answers = await ask(this.#slots, 'metrics', metricsTimeoutMs);
    const own = [
      family(
        'up',
        answers.map(({ worker, answer }) => [worker, answer === null ? 0 : 1]),
      ),
      family(
        'restarts',
        this.#slots.map(({ worker, restarts }) => [worker, restarts]),
      ),
    ];
    return mergeMetrics([...answers.map(({ answer }) => answer ?? ''), ...own]);
  }
}

interface Answered<What extends keyof Answers> {
  readonly worker: number;
  /** After the answer or the timeout. */
  readonly isListening: boolean;
  /** Null if it does not run, or has not answered in time. */
  readonly answer: Answers[What] | null;
}

function ask<What extends keyof Answers>(
  slots: readonly Slot[],
  what: What,
  timeoutMs: number,
): Promise<Array<Answered<What>>> {
  return Promise.all(
    slots.map(async ({ worker, child }) => {
      const answer = child?.isListening === true ? await child.ask(what, timeoutMs) : null;
      return { worker, isListening: child?.isListening === true, answer };
    }),
  );
}

/** A metric of the supervisor, with a sample for each worker. */
function family(
  metric: keyof typeof workerMetrics,
  samples: ReadonlyArray<readonly [worker: number, value: number]>,
): string {
  const [name, type, help] = workerMetrics[metric];
  const lines = samples.map(([worker, value]) => `fanfare_${name}{worker="${worker}"} ${value}`);
  return [`# HELP fanfare_${name} ${help}`, `# TYPE fanfare_${name} ${type}`, ...lines].join('\n');
}
