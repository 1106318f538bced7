/** What `levels` measures: publisher, node, Redis, another node, subscriber. Publisher and subscriber are in this process. */

import { Disposables } from '@fanfare/kit/disposables';
import { buildFrame, opcodes } from '@fanfare/kit/frames';
import type { Level } from '@fanfare/kit/level';
import { readCpuNs } from '@fanfare/kit/process-usage';
import { nowUs } from '@fanfare/kit/stamp';
import {
  masterArgs,
  type NodeProcess,
  type RedisProcess,
  startNode,
  startRedis,
  startReplica,
} from '@fanfare/local-cluster';
import { Connection } from '../load/connection.js';
import { localTarget } from '../load/deployment.js';
import { protocols } from '../protocols/protocols.js';
import { Arrivals } from './arrivals.js';
import { type Pace, pace, type Schedule } from './pace.js';
import { type Cpu, type PublishPath, readRedisCpuNs, type Traffic, topicNames, untilSettled } from './publish-path.js';
import { PublishTemplate } from './publish-template.js';

export interface NodesPathOptions {
  readonly level: Level;
  /** Whether each publication has a `messageId` and is answered. */
  readonly isAcknowledged: boolean;
  readonly traffic: Traffic;
}

const connectTimeoutMs = 10_000;

export class NodesPath implements PublishPath {
  readonly #topics: readonly string[];
  readonly #templates: readonly PublishTemplate[];
  readonly #arrivals: Arrivals;
  #publisher: Connection | null = null;
  #sent = 0;
  #acknowledged = 0;
  /** The first message that should not have arrived. */
  #complaint: string | null = null;

  static async open(options: NodesPathOptions): Promise<NodesPath> {
    const { level, traffic } = options;
    await using parts = new Disposables();
    const redis = parts.use(await startRedis({ args: masterArgs }));
    if (level === 'durable') parts.use(await startReplica(redis.port));
    const env = {
      FANFARE_TOPICS: JSON.stringify({ '>': { level } }),
      FANFARE_MAX_SUBSCRIPTIONS: String(traffic.topics),
    };
    const start = async (): Promise<NodeProcess> => parts.use(await startNode({ redisUrl: redis.url, env }));
    const nodes = [await start(), await start()] as const;
    const path = new NodesPath(options, redis, nodes, parts.move());
    try {
      await path.#connect();
      return path;
    } catch (error) {
      await path[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(
    private readonly options: NodesPathOptions,
    private readonly redis: RedisProcess,
    private readonly nodes: readonly [NodeProcess, NodeProcess],
    private readonly parts: Disposables,
  ) {
    const { isAcknowledged, traffic } = options;
    this.#topics = topicNames(traffic);
    this.#templates = this.#topics.map((topic) => {
      return new PublishTemplate({ topic, publicationBytes: traffic.publicationBytes, isAcknowledged });
    });
    this.#arrivals = new Arrivals(traffic.topics);
  }

  async publish(schedule: Schedule): Promise<Pace> {
    return await pace(schedule, () => this.#publish());
  }

  async settle(): Promise<string | null> {
    const expectedAnswers = this.options.isAcknowledged ? this.#sent : 0;
    const arrivals = this.#arrivals;
    const hasCome = (): boolean =>
      arrivals.inOrder + arrivals.wrong >= this.#sent && this.#acknowledged >= expectedAnswers;
    await untilSettled(() => this.#complaint !== null || hasCome());
    if (this.#complaint !== null) return this.#complaint;
    const complaint = arrivals.problem(this.#sent);
    if (complaint !== null) return complaint;
    return this.#acknowledged === expectedAnswers
      ? null
      : `${this.#acknowledged} of ${expectedAnswers} were acknowledged`;
  }

  async readCpu(): Promise<Cpu> {
    const [publisher, subscriber, redis] = await Promise.all([
      readCpuNs(this.nodes[0].pid),
      readCpuNs(this.nodes[1].pid),
      readRedisCpuNs(this.redis),
    ]);
    return { publisher, subscriber, redis };
  }

  async measureClock(): Promise<number> {
    return 0;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.parts[Symbol.asyncDispose]();
  }

  async #connect(): Promise<void> {
    this.#publisher = await this.#open(this.nodes[0], 'publisher');
    await this.#open(this.nodes[1], 'subscriber');
  }

  async #open(node: NodeProcess, role: 'publisher' | 'subscriber'): Promise<Connection> {
    const connection = await Connection.open({
      protocol: protocols.msgpack,
      target: localTarget(node.port),
      localAddress: null,
      role,
      topics: this.#topics,
      onPublication: (bytes, stampAt) => this.#arrivals.record(bytes, stampAt),
      onAcknowledged: (publications) => {
        this.#acknowledged += publications;
      },
      onFailure: ({ message }) => {
        this.#complaint ??= message;
      },
      timeoutMs: connectTimeoutMs,
    });
    this.parts.use({ [Symbol.asyncDispose]: async () => connection.close() });
    return connection;
  }

  #publish(): void {
    const { burst } = this.options.traffic;
    let length = 0;
    for (let index = 0; index < burst; index++) length += this.#templateOf(this.#sent + index).length;
    const commands = Buffer.allocUnsafe(length);
    const plannedUs = nowUs();
    let at = 0;
    for (let index = 0; index < burst; index++) {
      const template = this.#templateOf(this.#sent);
      template.write(commands, at, this.#sent++, plannedUs);
      at += template.length;
    }
    // MessagePack joins commands in one frame, one after the other.
    this.#publisher?.write(buildFrame(commands, { opcode: opcodes.binary }));
  }

  #templateOf(sequence: number): PublishTemplate {
    const template = this.#templates[sequence % this.#templates.length];
    if (template === undefined) throw new Error('There are no topics.');
    return template;
  }
}
