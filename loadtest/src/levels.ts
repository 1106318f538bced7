/**
 * The scenario `levels`: what a publication costs the two nodes that it crosses, and Redis between them, at each level, beside a plain
 * PUBLISH to Redis. Taken in turns, so that what disturbs the machine disturbs all of them.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type NodeProcess, type RedisProcess, startNode, startRedis } from '@fanfare/local-cluster';
import { MsgpackClientCodec } from '@fanfare/protocol';
import { buildFrame, opcodes } from './frame-walker.js';
import { MsgpackWire } from './msgpack-wire.js';
import { readCpuNs } from './process-usage.js';
import { nowUs, readSequence, stampBytes, writeStamp } from './stamp.js';
import { masterArgs, startReplica } from './verify/cluster-under-test.js';
import { redisCommand } from './verify/redis-command.js';
import { WebSocket } from './web-socket.js';

export const candidateNames = [
  'plain',
  'fast',
  'fast-acked',
  'recoverable',
  'recoverable-acked',
  'durable-acked',
] as const;
export type CandidateName = (typeof candidateNames)[number];

export const workloadNames = ['one-topic', 'many-topics'] as const;
export type WorkloadName = (typeof workloadNames)[number];

interface Workload {
  readonly title: string;
  readonly topics: number;
  /** Publications written together, each to the next topic. */
  readonly burst: number;
  readonly perSecond: number;
}

export const workloads: Readonly<Record<WorkloadName, Workload>> = {
  'one-topic': { title: '1 topic, one publication at a time, 2,000/s', topics: 1, burst: 1, perSecond: 2_000 },
  'many-topics': {
    title: '200 topics, 20 publications at a time, 20,000/s',
    topics: 200,
    burst: 20,
    perSecond: 20_000,
  },
};

export interface LevelsOptions {
  readonly candidates: readonly CandidateName[];
  readonly workloads: readonly WorkloadName[];
  readonly publicationBytes: number;
  readonly rounds: number;
  readonly seconds: number;
}

export interface LevelsSample {
  readonly round: number;
  readonly candidate: CandidateName;
  readonly workload: WorkloadName;
  readonly publications: number;
  /** CPU time for each publication, in nanoseconds; null where there are no nodes. */
  readonly publisherNs: number | null;
  readonly subscriberNs: number | null;
  readonly redisNs: number;
  /** Each publication has come, once; and, where that was asked for, has been acknowledged. */
  readonly isValid: boolean;
}

/** Before each window. */
const warmUpSeconds = 0.5;
const settleTimeoutMs = 10_000;

const codec = new MsgpackClientCodec({ encode: (data) => data as Uint8Array, decode: () => null });

export async function measureLevels(options: LevelsOptions, log: (line: string) => void): Promise<LevelsSample[]> {
  const samples: LevelsSample[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    for (const workload of options.workloads) {
      // Whoever comes first in one round comes last in the next.
      const order = round % 2 === 1 ? options.candidates : options.candidates.toReversed();
      for (const candidate of order) {
        log(`round ${round} of ${options.rounds}: ${candidate}, ${workload}`);
        samples.push({ round, ...(await measure(candidate, workload, options)) });
      }
    }
  }
  return samples;
}

async function measure(
  candidate: CandidateName,
  workload: WorkloadName,
  { publicationBytes, seconds }: LevelsOptions,
): Promise<Omit<LevelsSample, 'round'>> {
  await using way = candidate === 'plain' ? await PlainWay.open() : await NodesWay.open(candidate);
  const { topics, burst, perSecond } = workloads[workload];
  await way.subscribe(Array.from({ length: topics }, (_, index) => `bench.${index}`));
  const run = async (length: number): Promise<boolean> => {
    const bursts = Math.max(1, Math.round((length * perSecond) / burst));
    const intervalUs = (burst * 1_000_000) / perSecond;
    const startedUs = nowUs();
    for (let number = 0; number < bursts; number++) {
      const dueMs = (startedUs + number * intervalUs - nowUs()) / 1_000;
      // Timers are a millisecond late: a burst that is due meanwhile leaves with the next.
      if (dueMs > 0) await delay(dueMs);
      way.publish(burst, publicationBytes);
    }
    return await way.arrived();
  };
  await run(warmUpSeconds);
  const before = await way.readCpu();
  const sentBefore = way.sent;
  const isValid = await run(seconds);
  const after = await way.readCpu();
  const publications = way.sent - sentBefore;
  const each = (kind: keyof Cpu): number => ((after[kind] ?? 0) - (before[kind] ?? 0)) / publications;
  return {
    candidate,
    workload,
    publications,
    publisherNs: after.publisher === null ? null : each('publisher'),
    subscriberNs: after.subscriber === null ? null : each('subscriber'),
    redisNs: each('redis'),
    isValid,
  };
}

/** CPU time used so far, in nanoseconds. */
interface Cpu {
  readonly publisher: number | null;
  readonly subscriber: number | null;
  readonly redis: number;
}

/** A way from a publisher to a subscriber. Publications are numbered, and each number must come once. */
abstract class Way implements AsyncDisposable {
  protected topics: readonly string[] = [];
  readonly #seen = new Set<number>();
  sent = 0;
  #came = 0;
  #wrong = 0;
  #acknowledged = 0;

  abstract readonly isAcknowledged: boolean;
  abstract subscribe(topics: readonly string[]): Promise<void>;
  abstract readCpu(): Promise<Cpu>;
  abstract [Symbol.asyncDispose](): Promise<void>;
  protected abstract write(publications: readonly { readonly topic: string; readonly data: Uint8Array }[]): void;

  publish(count: number, bytes: number): void {
    const publications = [];
    for (let index = 0; index < count; index++) {
      // A string of MessagePack with a header of 16 bits, as MsgpackWire expects it.
      const data = Buffer.alloc(bytes, 'x');
      data[0] = 0xda;
      data.writeUInt16BE(bytes - 3, 1);
      writeStamp(data, 3, this.sent, nowUs());
      publications.push({ topic: this.topics[this.sent % this.topics.length] as string, data });
      this.#seen.add(this.sent);
      this.sent++;
    }
    this.write(publications);
  }

  /** Waits until all has come; answers whether it did, once each. */
  async arrived(): Promise<boolean> {
    const deadline = performance.now() + settleTimeoutMs;
    const isDone = (): boolean =>
      this.#came + this.#wrong >= this.sent && (!this.isAcknowledged || this.#acknowledged >= this.sent);
    while (!isDone() && performance.now() < deadline) await delay(1);
    return isDone() && this.#wrong === 0 && this.#seen.size === 0;
  }

  protected onPublication(bytes: Uint8Array, stampAt: number): void {
    if (this.#seen.delete(readSequence(bytes, stampAt))) this.#came++;
    else this.#wrong++;
  }

  protected onAcknowledged(): void {
    this.#acknowledged++;
  }
}

/** Publisher -> node -> Redis -> another node -> subscriber. */
class NodesWay extends Way {
  readonly isAcknowledged: boolean;
  readonly #redis: RedisProcess;
  readonly #replica: RedisProcess | null;
  readonly #nodes: readonly [NodeProcess, NodeProcess];
  readonly #wire = new MsgpackWire();
  readonly #publisher: WebSocket;
  #subscriber: WebSocket | null = null;

  static async open(candidate: Exclude<CandidateName, 'plain'>): Promise<NodesWay> {
    const [level = '', acked] = candidate.split('-');
    const redis = await startRedis({ args: masterArgs });
    const replica = level === 'durable' ? await startReplica(redis.port) : null;
    const env = { FANFARE_TOPICS: JSON.stringify({ '>': { level } }), FANFARE_MAX_SUBSCRIPTIONS: '10000' };
    const [first, second] = await Promise.all([0, 1].map(() => startNode({ redisUrl: redis.url, env })));
    if (first === undefined || second === undefined) throw new Error('No nodes were started.');
    let onAnswer = (): void => {};
    const publisher = await WebSocket.open({
      port: first.port,
      path: '/ws',
      subprotocol: 'fanfare.v1.msgpack',
      onMessage: (bytes, start, end) => {
        // [35, id, …]: published. Anything else is an error, and the way never arrives.
        if (end > start && bytes[start + 1] === 35) onAnswer();
      },
      onFailure: (error) => {
        throw error;
      },
    });
    const way = new NodesWay(redis, replica, [first, second], publisher, acked !== undefined);
    onAnswer = () => way.onAcknowledged();
    return way;
  }

  private constructor(
    redis: RedisProcess,
    replica: RedisProcess | null,
    nodes: readonly [NodeProcess, NodeProcess],
    publisher: WebSocket,
    isAcknowledged: boolean,
  ) {
    super();
    this.#redis = redis;
    this.#replica = replica;
    this.#nodes = nodes;
    this.#publisher = publisher;
    this.isAcknowledged = isAcknowledged;
  }

  async subscribe(topics: readonly string[]): Promise<void> {
    this.topics = topics;
    let confirmed = 0;
    const sink = (bytes: Uint8Array, stampAt: number): void => this.onPublication(bytes, stampAt);
    this.#subscriber = await WebSocket.open({
      port: this.#nodes[1].port,
      path: '/ws',
      subprotocol: 'fanfare.v1.msgpack',
      onMessage: (bytes, start, end) => {
        if (!this.#wire.forEachPublication(bytes, start, end, sink)) confirmed++;
      },
      onFailure: (error) => {
        throw error;
      },
    });
    for (const [index, topic] of topics.entries()) {
      const command = codec.encode({ type: 'subscribe', id: index + 1, topic, since: null });
      this.#subscriber.write(buildFrame(command, opcodes.binary));
    }
    while (confirmed < topics.length) await delay(1);
  }

  async readCpu(): Promise<Cpu> {
    const [publisher, subscriber, redis] = await Promise.all([
      readCpuNs(this.#nodes[0].pid),
      readCpuNs(this.#nodes[1].pid),
      readCpuNs(this.#redis.pid),
    ]);
    return { publisher, subscriber, redis };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#publisher.close();
    this.#subscriber?.close();
    await Promise.all(this.#nodes.map((node) => node.kill()));
    await Promise.all([this.#redis[Symbol.asyncDispose](), this.#replica?.[Symbol.asyncDispose]()]);
  }

  protected write(publications: readonly { readonly topic: string; readonly data: Uint8Array }[]): void {
    const first = this.sent - publications.length;
    const commands = publications.map(({ topic, data }, index) => {
      const number = first + index + 1;
      const [id, messageId] = this.isAcknowledged ? [number, `bench-${number}`] : [null, null];
      return codec.encode({ type: 'publish', id, topic, data, messageId });
    });
    this.#publisher.write(buildFrame(codec.join(commands), opcodes.binary));
  }
}

/** Publisher -> Redis -> subscriber, by PUBLISH and SUBSCRIBE: one command for each publication. */
class PlainWay extends Way {
  readonly isAcknowledged = false;
  readonly #redis: RedisProcess;
  readonly #publisher: Socket;
  readonly #subscriber: Socket;

  static async open(): Promise<PlainWay> {
    const redis = await startRedis();
    return new PlainWay(redis, connect(redis.port, '127.0.0.1'), connect(redis.port, '127.0.0.1'));
  }

  private constructor(redis: RedisProcess, publisher: Socket, subscriber: Socket) {
    super();
    this.#redis = redis;
    this.#publisher = publisher.on('data', () => {});
    this.#subscriber = subscriber;
    let rest = Buffer.alloc(0);
    subscriber.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      // Each data begins with the head that it was written with; topics and RESP have no such byte.
      let at = rest.indexOf(0xda);
      while (at >= 0 && at + 3 + stampBytes <= rest.length) {
        this.onPublication(rest, at + 3);
        at = rest.indexOf(0xda, at + 3 + stampBytes);
      }
      rest = at < 0 ? Buffer.alloc(0) : rest.subarray(at);
    });
  }

  async subscribe(topics: readonly string[]): Promise<void> {
    this.topics = topics;
    this.#subscriber.write(resp(['SUBSCRIBE', ...topics]));
    const counts = async (): Promise<unknown> => redisCommand(this.#redis.port, ['PUBSUB', 'CHANNELS', '*']);
    while (((await counts()) as readonly unknown[]).length < topics.length) await delay(1);
  }

  async readCpu(): Promise<Cpu> {
    return { publisher: null, subscriber: null, redis: await readCpuNs(this.#redis.pid) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#publisher.destroy();
    this.#subscriber.destroy();
    await this.#redis[Symbol.asyncDispose]();
  }

  protected write(publications: readonly { readonly topic: string; readonly data: Uint8Array }[]): void {
    this.#publisher.write(Buffer.concat(publications.map(({ topic, data }) => resp(['PUBLISH', topic, data]))));
  }
}

function resp(args: readonly (string | Uint8Array)[]): Buffer {
  const pieces = args.flatMap((arg) => {
    const bytes = Buffer.from(arg);
    return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')];
  });
  return Buffer.concat([Buffer.from(`*${args.length}\r\n`), ...pieces]);
}
