/** The baseline of `levels`: Redis with nothing on top, one PUBLISH for each publication, from process to process. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Disposables } from '@fanfare/kit/disposables';
import { readCpuNs } from '@fanfare/kit/process-usage';
import { type RedisProcess, startRedis } from '@fanfare/local-cluster';
import type { Pace, Schedule } from './pace.js';
import { type Cpu, type PublishPath, readRedisCpuNs, type Traffic, untilSettled } from './publish-path.js';

export type PeerRole = 'publisher' | 'subscriber';

export type PeerCommand =
  /** A subscriber subscribes to all topics, too. */
  | { readonly type: 'connect'; readonly role: PeerRole; readonly port: number; readonly traffic: Traffic }
  /** `isSilent`: nothing is written, only the time is kept. */
  | { readonly type: 'publish'; readonly schedule: Schedule; readonly isSilent: boolean }
  | { readonly type: 'count'; readonly sent: number };

export type PeerAnswer =
  | { readonly type: 'connected' }
  | { readonly type: 'published'; readonly pace: Pace }
  | { readonly type: 'counted'; readonly came: number; readonly complaint: string | null }
  | { readonly type: 'failed'; readonly message: string };

export class PlainPath implements PublishPath {
  readonly #redis: RedisProcess;
  readonly #publisher: PeerProcess;
  readonly #subscriber: PeerProcess;
  readonly #traffic: Traffic;
  readonly #parts: Disposables;
  #sent = 0;

  static async open(traffic: Traffic): Promise<PlainPath> {
    await using parts = new Disposables();
    const redis = parts.use(await startRedis());
    const publisher = parts.use(new PeerProcess());
    const subscriber = parts.use(new PeerProcess());
    await publisher.ask({ type: 'connect', role: 'publisher', port: redis.port, traffic }, 'connected');
    await subscriber.ask({ type: 'connect', role: 'subscriber', port: redis.port, traffic }, 'connected');
    return new PlainPath({ redis, publisher, subscriber, traffic, parts: parts.move() });
  }

  private constructor(made: {
    readonly redis: RedisProcess;
    readonly publisher: PeerProcess;
    readonly subscriber: PeerProcess;
    readonly traffic: Traffic;
    readonly parts: Disposables;
  }) {
    this.#redis = made.redis;
    this.#publisher = made.publisher;
    this.#subscriber = made.subscriber;
    this.#traffic = made.traffic;
    this.#parts = made.parts;
  }

  async publish(schedule: Schedule): Promise<Pace> {
    const { pace } = await this.#publisher.ask({ type: 'publish', schedule, isSilent: false }, 'published');
    this.#sent += schedule.bursts * this.#traffic.burst;
    return pace;
  }

  async settle(): Promise<string | null> {
    let complaint: string | null = null;
    await untilSettled(async () => {
      const answer = await this.#subscriber.ask({ type: 'count', sent: this.#sent }, 'counted');
      complaint = answer.complaint;
      return answer.came >= this.#sent;
    });
    return complaint;
  }

  async readCpu(): Promise<Cpu> {
    const [publisher, subscriber, redis] = await Promise.all([
      readCpuNs(this.#publisher.pid),
      readCpuNs(this.#subscriber.pid),
      readRedisCpuNs(this.#redis),
    ]);
    return { publisher, subscriber, redis };
  }

  async measureClock(schedule: Schedule): Promise<number> {
    const before = await readCpuNs(this.#publisher.pid);
    await this.#publisher.ask({ type: 'publish', schedule, isSilent: true }, 'published');
    return (await readCpuNs(this.#publisher.pid)) - before;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#parts[Symbol.asyncDispose]();
  }
}

const main = fileURLToPath(new URL('../../dist/levels/plain-peer.js', import.meta.url));

class PeerProcess implements AsyncDisposable {
  readonly #child: ChildProcess = fork(main, { execArgv: [] });

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('The process of the plain peer was not started.');
    return this.#child.pid;
  }

  async ask<Type extends PeerAnswer['type']>(
    command: PeerCommand,
    expected: Type,
  ): Promise<Extract<PeerAnswer, { type: Type }>> {
    const ended = new AbortController();
    const onExit = (): void => ended.abort(new Error('The plain peer ended.'));
    this.#child.once('exit', onExit);
    this.#child.send(command);
    try {
      const [answer] = (await once(this.#child, 'message', { signal: ended.signal })) as [PeerAnswer];
      if (answer.type === 'failed') throw new Error(answer.message);
      if (answer.type !== expected) throw new Error(`The plain peer answered ${answer.type}, not ${expected}.`);
      return answer as Extract<PeerAnswer, { type: Type }>;
    } catch (error) {
      throw ended.signal.aborted ? ended.signal.reason : error;
    } finally {
      this.#child.off('exit', onExit);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }
}
