/** The baseline of `levels`: Redis with nothing on top, one PUBLISH for each publication, from process to process. */
import { fileURLToPath } from 'node:url';
import { Disposables } from '@fanfare/kit/disposables';
import { readCpuNs } from '@fanfare/kit/process-usage';
import { Worker } from '@fanfare/kit/worker';
import { type RedisProcess, startRedis } from '@fanfare/local-cluster';
import type { Pace, Schedule } from './pace.js';
import { type Cpu, type PublishPath, readRedisCpuNs, type Traffic, untilSettled } from './publish-path.js';

const main = fileURLToPath(new URL('../../dist/levels/plain-peer.js', import.meta.url));

export type PeerRole = 'publisher' | 'subscriber';

export type PeerCommands = {
  /** A subscriber subscribes to all topics, too. */
  connect: [{ readonly role: PeerRole; readonly port: number; readonly traffic: Traffic }, null];
  /** `isSilent`: it writes nothing and only keeps the time. */
  publish: [{ readonly schedule: Schedule; readonly isSilent: boolean }, Pace];
  count: [number, { readonly received: number; readonly complaint: string | null }];
};

type PeerProcess = Worker<PeerCommands>;

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
    const publisher = parts.use(new Worker<PeerCommands>(main, 'The plain peer'));
    const subscriber = parts.use(new Worker<PeerCommands>(main, 'The plain peer'));
    await publisher.ask('connect', { role: 'publisher', port: redis.port, traffic });
    await subscriber.ask('connect', { role: 'subscriber', port: redis.port, traffic });
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
    const pace = await this.#publisher.ask('publish', { schedule, isSilent: false });
    this.#sent += schedule.bursts * this.#traffic.burst;
    return pace;
  }

  async settle(): Promise<string | null> {
    let complaint: string | null = null;
    await untilSettled(async () => {
      const answer = await this.#subscriber.ask('count', this.#sent);
      complaint = answer.complaint;
      return answer.received >= this.#sent;
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
    await this.#publisher.ask('publish', { schedule, isSilent: true });
    return (await readCpuNs(this.#publisher.pid)) - before;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#parts[Symbol.asyncDispose]();
  }
}
