/** Our own Redis Cluster: real servers, real elections, and what an operator does with it. */
import { type ClusterMember, type ClusterView, hasSlot, readClusterView } from './cluster-view.js';
import { findFreePort } from './free-port.js';
import type { RedisProcess } from './redis.js';
import { RedisConnection, type RedisReply, redisCommand } from './redis-command.js';
import { startRedis } from './redis-process.js';
import { findRedis } from './redis-source.js';
import { masterArgs } from './replica.js';
import { endAll, startAll } from './start-all.js';
import { untilSolved } from './until.js';

const host = '127.0.0.1';
const slotCount = 16_384;

/** A server that takes longer counts as hanging. */
const answerTimeoutMs = 3_000;

/** The node timeout while it is created. */
const creationTimeoutMs = 1_000;

/** For `MIGRATE`: no reply of the target for this long is an error. */
const migrateTimeoutMs = 5_000;

/** Redis gives up a planned failover after 5 s, and does not report it. */
const failoverTimeoutMs = 6_000;

export interface RedisClusterOptions {
  /** Default: 3. With fewer, no replica is elected if a master fails. */
  readonly masters?: number;
  /** Default: 1. */
  readonly replicasPerMaster?: number;
  /** More arguments for each `redis-server`, for example `['--cluster-require-full-coverage', 'no']`. */
  readonly args?: readonly string[];
  /** How long a server must be silent before the others elect a replica, in milliseconds. Default: 2000. */
  readonly nodeTimeoutMs?: number;
}

export interface MoveSlotOptions {
  /** Keys of each `MIGRATE`. Default: 10, as for `redis-cli --cluster reshard`. */
  readonly keysPerCommand?: number;
}

/**
 * Starts a Redis Cluster whose masters have equal ranges of slots. Resolves once it is healthy, so a failure of a master
 * may follow. Needs a `redis-server`; there is none in Docker.
 */
export async function startRedisCluster(options: RedisClusterOptions = {}): Promise<RedisClusterProcess> {
  const { masters = 3, replicasPerMaster = 1, args = [], nodeTimeoutMs = 2_000 } = options;
  if (masters < 1) throw new Error(`A Redis Cluster needs at least 1 master, not ${masters}.`);
  const source = await findRedis(true);
  if (source.name === 'container') throw new Error('A Redis Cluster needs redis-server on the PATH.');
  const start = async (): Promise<RedisProcess> => {
    // By default, the port of the bus is 10,000 higher: another process may listen there.
    const busPort = await findFreePort();
    const ports = ['--cluster-port', String(busPort), '--cluster-node-timeout', String(nodeTimeoutMs)];
    return await startRedis({ args: ['--cluster-enabled', 'yes', ...ports, ...masterArgs, ...args] });
  };
  const servers = await startAll(Array.from({ length: masters * (1 + replicasPerMaster) }, start));
  const setNodeTimeout = async (timeoutMs: number): Promise<void> => {
    const command = ['CONFIG', 'SET', 'cluster-node-timeout', String(timeoutMs)];
    await Promise.all(servers.map(({ port }) => redisCommand(port, command)));
  };
  try {
    // Servers report what has changed within half of it.
    await setNodeTimeout(Math.min(creationTimeoutMs, nodeTimeoutMs));
    const cluster = await RedisClusterProcess.create(servers, masters);
    await setNodeTimeout(nodeTimeoutMs);
    return cluster;
  } catch (error) {
    await endAll(servers);
    throw error;
  }
}

/** Its disposal kills all servers and removes their files. */
export class RedisClusterProcess implements AsyncDisposable {
  /** All servers, the first masters first. Their methods kill, hang and restart them. */
  readonly servers: readonly RedisProcess[];
  /** `redis+cluster://127.0.0.1:p1,127.0.0.1:p2,…` with all servers. */
  readonly url: string;
  readonly #ids: ReadonlyMap<RedisProcess, string>;

  private constructor(servers: readonly RedisProcess[], ids: ReadonlyMap<RedisProcess, string>) {
    this.servers = servers;
    this.url = `redis+cluster://${servers.map(({ port }) => `${host}:${port}`).join(',')}`;
    this.#ids = ids;
  }

  /** Makes empty servers a Redis Cluster: the first ones become masters, the others in turn replicas of them. */
  static async create(servers: readonly RedisProcess[], masters: number): Promise<RedisClusterProcess> {
    const own = await Promise.all(servers.map(async (server) => (await ask(server)).view.own));
    const cluster = new RedisClusterProcess(
      servers,
      new Map(own.map(({ id }, index) => [servers[index] as RedisProcess, id])),
    );
    const firstSlotOf = (master: number): number => Math.round((master * slotCount) / masters);
    for (const [index, { port }] of servers.entries()) {
      using connection = new RedisConnection(port);
      if (index < masters) {
        const range = [firstSlotOf(index), firstSlotOf(index + 1) - 1].map(String);
        await connection.call(['CLUSTER', 'ADDSLOTSRANGE', ...range]);
        // Not later: servers that know others refuse it, and would correct equal epochs one by one.
        await connection.call(['CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1)]);
      }
      // Every pair: until all know each other by gossip alone, seconds pass.
      for (const [before, other] of servers.slice(0, index).entries())
        await connection.call(['CLUSTER', 'MEET', host, String(other.port), String(own[before]?.busPort)]);
    }
    for (const [index, replica] of servers.slice(masters).entries()) {
      const master = cluster.#idOf(servers[index % masters] as RedisProcess);
      await untilSolved(async () => {
        const answer = await ask(replica).catch(() => null);
        if (answer === null) return 'A replica does not answer.';
        return answer.view.members.get(master)?.state === 'online' ? null : 'A replica does not know its master.';
      });
      await redisCommand(replica.port, ['CLUSTER', 'REPLICATE', master]);
    }
    await cluster.untilHealthy();
    return cluster;
  }

  /** Also a server that fails, until another one has its slots. Rejects if nobody has the slot. */
  async masterOf(slot: number): Promise<RedisProcess> {
    const answers = await this.#answers();
    const claims = [...answers.values()].flatMap(({ view }) =>
      [...view.members.values()].filter((member) => member.masterId === null && hasSlot(member, slot)),
    );
    const [owner] = claims.toSorted((one, other) => other.configEpoch - one.configEpoch);
    const server = this.servers.find((candidate) => this.#ids.get(candidate) === owner?.id);
    if (server === undefined) throw new Error(`No master of the Redis Cluster has slot ${slot}.`);
    return server;
  }

  /** Those that reply. */
  async replicasOf(master: RedisProcess): Promise<readonly RedisProcess[]> {
    const answers = await this.#answers();
    const id = this.#idOf(master);
    return this.servers.filter((server) => answers.get(server)?.view.own.masterId === id);
  }

  /**
   * Moves a slot with its keys while clients use it, in the steps of `redis-cli --cluster reshard`. Resolves once all
   * masters know the new owner.
   */
  async moveSlot(slot: number, to: RedisProcess, { keysPerCommand = 10 }: MoveSlotOptions = {}): Promise<void> {
    const from = await this.masterOf(slot);
    if (from === to) return;
    const target = this.#idOf(to);
    const setSlot = ['CLUSTER', 'SETSLOT', String(slot)];
    await redisCommand(to.port, [...setSlot, 'IMPORTING', this.#idOf(from)]);
    using source = new RedisConnection(from.port);
    await source.call([...setSlot, 'MIGRATING', target]);
    for (;;) {
      const keys = itemsOf(await source.call(['CLUSTER', 'GETKEYSINSLOT', String(slot), String(keysPerCommand)]));
      if (keys.length === 0) break;
      const address = [host, String(to.port), '', '0', String(migrateTimeoutMs)];
      await source.call(['MIGRATE', ...address, 'KEYS', ...keys.map(String)], 2 * migrateTimeoutMs);
    }
    // The new owner first: otherwise, nobody would have the slot for a moment.
    await redisCommand(to.port, [...setSlot, 'NODE', target]);
    await source.call([...setSlot, 'NODE', target]);
    for (const [server, { view }] of await this.#answers()) {
      if (server === to || server === from || view.own.masterId !== null) continue;
      await redisCommand(server.port, [...setSlot, 'NODE', target]);
    }
  }

  /** A planned failover of the master that has the slot. Resolves once its first replica is the master. */
  async failover(slot: number): Promise<void> {
    const [replica] = await this.replicasOf(await this.masterOf(slot));
    if (replica === undefined) throw new Error(`No replica of the master of slot ${slot} replies.`);
    let beganAt = Number.NEGATIVE_INFINITY;
    await untilSolved(async () => {
      const { own } = (await ask(replica)).view;
      if (own.masterId === null && hasSlot(own, slot)) return null;
      if (performance.now() - beganAt > failoverTimeoutMs) {
        beganAt = performance.now();
        await redisCommand(replica.port, ['CLUSTER', 'FAILOVER']);
      }
      return 'The replica is not the master.';
    });
  }

  /** Resolves once the replica has all data of its new master. */
  async moveReplica(replica: RedisProcess, to: RedisProcess): Promise<void> {
    await redisCommand(replica.port, ['CLUSTER', 'REPLICATE', this.#idOf(to)]);
    await untilSolved(async () => {
      const { role } = await ask(replica);
      return isCopyOf(role, to) ? null : 'The replica does not have the data of its master.';
    });
  }

  /**
   * Resolves once every slot is served, all servers that reply agree about each other and about slots and know that the
   * silent ones have failed, no slot is on its way, and the replicas have the data of their masters. Rejects after 60 s.
   */
  async untilHealthy(): Promise<void> {
    await untilSolved(() => this.#problem());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endAll(this.servers);
  }

  /** Null if it is healthy. */
  async #problem(): Promise<string | null> {
    const answers = new Map<RedisProcess, Answer>();
    for (const server of this.servers) {
      const answer = await ask(server).catch(() => null);
      if (answer === null) continue;
      // Most polls end here, at the first server.
      if (!answer.isServing) return `${nameOf(server)} does not serve commands.`;
      if (answer.view.own.isMoving) return `A slot of ${nameOf(server)} is on its way.`;
      answers.set(server, answer);
    }
    for (const [server, { view, role }] of answers) {
      for (const other of this.servers) {
        const member = view.members.get(this.#idOf(other));
        const own = answers.get(other)?.view.own;
        const isKnown = own === undefined ? member?.state === 'failed' : member !== undefined && isSame(member, own);
        if (!isKnown) return `${nameOf(server)} does not know the state of ${nameOf(other)}.`;
      }
      if (view.own.masterId === null) continue;
      const master = this.servers.find((candidate) => this.#ids.get(candidate) === view.own.masterId);
      const masterRole = master === undefined ? undefined : answers.get(master)?.role;
      if (master === undefined || masterRole === undefined) return `The master of ${nameOf(server)} does not reply.`;
      if (!isCopyOf(role, master)) return `${nameOf(server)} does not have the data of its master.`;
      if (!knowsReplica(masterRole, server))
        return `The master of ${nameOf(server)} does not know that it has its data.`;
    }
    const slots = [...answers.values()].flatMap(({ view }) => (view.own.masterId === null ? view.own.slots : []));
    const served = slots.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    return served === slotCount ? null : `${served} of ${slotCount} slots have a master that replies.`;
  }

  async #answers(): Promise<ReadonlyMap<RedisProcess, Answer>> {
    const answers = await Promise.all(
      this.servers.map(async (server) => [server, await ask(server).catch(() => null)] as const),
    );
    return new Map(answers.flatMap(([server, answer]) => (answer === null ? [] : [[server, answer]])));
  }

  #idOf(server: RedisProcess): string {
    const id = this.#ids.get(server);
    if (id === undefined) throw new Error(`${nameOf(server)} is not in this Redis Cluster.`);
    return id;
  }
}

/** What a server replies about the cluster. */
interface Answer {
  readonly view: ClusterView;
  /** Whether it serves commands about keys. */
  readonly isServing: boolean;
  /** The reply to `ROLE`. */
  readonly role: RedisReply;
}

/** Rejects if the server does not reply in time. */
async function ask({ port }: RedisProcess): Promise<Answer> {
  using connection = new RedisConnection(port);
  const [nodes, info, role] = await Promise.all(
    [['CLUSTER', 'NODES'], ['CLUSTER', 'INFO'], ['ROLE']].map((command) => connection.call(command, answerTimeoutMs)),
  );
  return {
    view: readClusterView(String(nodes)),
    isServing: String(info).includes('cluster_state:ok'),
    role: role ?? null,
  };
}

function nameOf({ port }: RedisProcess): string {
  return `The server on port ${port}`;
}

/** Whether one server knows about another what that one says about itself. */
function isSame(known: ClusterMember, own: ClusterMember): boolean {
  const textOf = ({ masterId, slots }: ClusterMember): string => `${masterId} ${slots.join(' ')}`;
  return known.state === 'online' && textOf(known) === textOf(own);
}

/** Whether a replica has all data of this master. Its role: `slave`, address and port of the master, state, offset. */
function isCopyOf(role: RedisReply, { port }: RedisProcess): boolean {
  const [name, , masterPort, state] = itemsOf(role);
  return name === 'slave' && Number(masterPort) === port && state === 'connected';
}

/** Whether a master sends its data to this replica. Its role: `master`, offset, a list of address, port and offset. */
function knowsReplica(role: RedisReply, { port }: RedisProcess): boolean {
  const [name, , replicas = null] = itemsOf(role);
  return name === 'master' && itemsOf(replicas).some((replica) => Number(itemsOf(replica)[1]) === port);
}

function itemsOf(reply: RedisReply): readonly RedisReply[] {
  return typeof reply === 'object' && reply !== null ? reply : [];
}
