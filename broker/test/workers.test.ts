/**
 * Several processes that share a port, as seen by clients, operators and a second broker. They run the result of
 * `npm run build`.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { type NodeProcess, type RedisProcess, startNode, startRedis } from '@fanfare/local-cluster';
import { closeReasons, type Position } from '@fanfare/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mergeMetrics } from '../src/node/workers/merge-metrics.js';
import { claimPort } from '../src/node/workers/port-claim.js';
import { startNode as startInProcess } from './harness.js';
import { main, run } from './run.js';
import { TestConnection } from './test-connection.js';
import { until, within } from './wait.js';

let redis: RedisProcess;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis[Symbol.asyncDispose]());

/** Two workers, `m-1` and `m-2`, and a drain window of zero. */
function startWorkers(env: Readonly<Record<string, string>> = {}): Promise<NodeProcess> {
  return startNode({
    redisUrl: redis.url,
    env: { FANFARE_WORKERS: '2', FANFARE_NODE_NAME: 'm', FANFARE_DRAIN_WINDOW_MS: '0', ...env },
  });
}

interface Client extends AsyncDisposable {
  readonly connection: TestConnection;
  /** The name of the node to which it is connected. */
  readonly node: string;
}

async function connect({ url }: NodeProcess): Promise<Client> {
  const connection = await TestConnection.open(url);
  const reply = await connection.request({ type: 'connect', token: null });
  if (reply.type !== 'connected') throw new Error(`Not connected: ${JSON.stringify(reply)}`);
  return { connection, node: reply.node, [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose]() };
}

/** Enough connections that the kernel rarely gives all to one worker: with a probability of 2^-39. */
async function connectMany(node: NodeProcess): Promise<Client[]> {
  return Promise.all(Array.from({ length: 40 }, () => connect(node)));
}

function on(name: string, clients: readonly Client[]): TestConnection[] {
  const connections = clients.filter(({ node }) => node === name).map(({ connection }) => connection);
  expect(connections.length).toBeGreaterThan(0);
  return connections;
}

interface LogLine {
  readonly event: string;
  readonly worker?: number;
  readonly pid?: number;
  readonly code?: number | null;
  readonly signal?: string | null;
}

function logOf(node: NodeProcess, event: string): LogLine[] {
  const lines = node.logs().map((line) => JSON.parse(line) as LogLine);
  return lines.filter((line) => line.event === event);
}

/** The process that was started last as this worker. */
function pidOf(node: NodeProcess, worker: number): number {
  const started = logOf(node, 'workerStarted').filter((line) => line.worker === worker);
  const pid = started.at(-1)?.pid;
  if (pid === undefined) throw new Error(`Worker ${worker} was not started.`);
  return pid;
}

/** A process that has ended but was not reaped yet (state Z) is not alive. */
function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

async function ask(node: NodeProcess, path: string): Promise<{ status: number; reason?: string }> {
  const response = await fetch(node.adminUrl + path);
  const { reason } = (await response.json()) as { reason?: string };
  return { status: response.status, ...(reason === undefined ? {} : { reason }) };
}

async function metric(node: NodeProcess, name: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${node.adminUrl}/metrics`)).text();
  const samples = text.matchAll(new RegExp(`^${name}\\{worker="(\\d+)"\\} (\\S+)$`, 'gm'));
  return new Map([...samples].map(([, worker, value]) => [worker as string, Number(value)]));
}

function sum(samples: ReadonlyMap<string, number>): number {
  return [...samples.values()].reduce((total, value) => total + value, 0);
}

const workersOn = (port: number): Record<string, string> => ({
  FANFARE_WORKERS: '2',
  FANFARE_REDIS_URL: redis.url,
  FANFARE_PORT: String(port),
  FANFARE_ADMIN_PORT: '0',
});
const portInUse = (port: number): object => ({
  code: 2,
  out: '',
  err: `fanfare: Cannot listen on port ${port} of the address in FANFARE_HOST: the port is in use, or this machine does not have the address. Change FANFARE_PORT or FANFARE_HOST.\n`,
});

// One after the other with the same processes: three of them take three seconds of CPU time to start.
describe('workers', () => {
  let node: NodeProcess;
  beforeAll(async () => {
    node = await startWorkers();
  });
  afterAll(() => node[Symbol.asyncDispose]());

  it("share the connections, reach each other's subscribers, and have common metrics", async () => {
    const clients = await connectMany(node);
    expect(new Set(clients.map(({ node: name }) => name))).toEqual(new Set(['m-1', 'm-2']));
    for (const { connection } of clients) await connection.subscribe('t');
    await on('m-2', clients)[0]?.publish('t', 'hello');
    for (const { connection } of clients) expect(await connection.take('t', 1)).toEqual(['hello']);

    const connections = await metric(node, 'fanfare_connections');
    expect(connections).toEqual(
      new Map([
        ['1', on('m-1', clients).length],
        ['2', on('m-2', clients).length],
      ]),
    );
    expect(sum(await metric(node, 'fanfare_deliveries_total'))).toBe(clients.length);
    expect(sum(await metric(node, 'fanfare_publications_in_total'))).toBe(1);
    expect(await metric(node, 'fanfare_worker_up')).toEqual(
      new Map([
        ['1', 1],
        ['2', 1],
      ]),
    );
    expect(await ask(node, '/readyz')).toEqual({ status: 200, reason: 'serving' });
  });

  it.each([
    { signal: 'SIGKILL', closed: { code: 1006, reason: '' }, end: { code: null, signal: 'SIGKILL' } },
    { signal: 'SIGTERM', closed: closeReasons.draining, end: { code: 0, signal: null } },
  ])('are restarted if one ends ($signal), and its clients recover missed publications', async (ending) => {
    const topic = `after.${ending.signal}`;
    const clients = await connectMany(node);
    let position: Position | null = null;
    for (const { connection } of clients) {
      const reply = await connection.subscribe(topic);
      if (reply.type === 'subscribed') position = reply.position;
    }
    const victims = on('m-1', clients);
    const writer = on('m-2', clients)[0] as TestConnection;
    const pid = pidOf(node, 1);
    const restarts = await metric(node, 'fanfare_worker_restarts_total');
    process.kill(pid, ending.signal);
    for (const victim of victims)
      expect(await within('the connection is closed', victim.closed)).toEqual(ending.closed);
    for (const data of ['a', 'b', 'c']) expect(await writer.publish(topic, data)).toMatchObject({ type: 'published' });
    const unready = await until('the supervisor is not ready', async () => {
      const { status, reason } = await ask(node, '/readyz');
      return status === 503 && reason !== 'worker 1: draining' && reason;
    });
    expect(unready).toBe('worker 1: starting');
    expect((await ask(node, '/healthz')).status).toBe(200);

    await using back = await connect(node);
    const reply = await back.connection.request({ type: 'subscribe', topic, since: position });
    expect(reply).toMatchObject({ recovered: true, publications: [{ data: 'a' }, { data: 'b' }, { data: 'c' }] });
    await until('the supervisor is ready again', async () => (await ask(node, '/readyz')).status === 200);
    expect(logOf(node, 'workerEnded').at(-1)).toMatchObject({ worker: 1, ...ending.end });
    expect(pidOf(node, 1)).not.toBe(pid);
    expect(await metric(node, 'fanfare_worker_restarts_total')).toEqual(
      new Map([
        ['1', (restarts.get('1') ?? 0) + 1],
        ['2', 0],
      ]),
    );
  });

  it('make the supervisor not ready if one of them does not respond', async () => {
    const pid = pidOf(node, 2);
    process.kill(pid, 'SIGSTOP');
    expect(await ask(node, '/readyz')).toMatchObject({ status: 503, reason: 'worker 2: does not respond' });
    expect(await ask(node, '/healthz')).toMatchObject({ status: 503, reason: 'worker 2 does not respond' });
    process.kill(pid, 'SIGCONT');
    expect((await ask(node, '/healthz')).status).toBe(200);
  });

  it('neither share the port of another broker, nor let another broker share theirs', async () => {
    await using alone = await startInProcess({});
    await expect(startInProcess({ FANFARE_PORT: String(node.port) })).rejects.toThrow('the port is in use');
    const finished = await Promise.all([
      run([], workersOn(alone.broker.port)),
      run([], workersOn(node.port)),
      run([], { ...workersOn(0), FANFARE_ADMIN_PORT: String(node.adminPort) }),
    ]);
    expect(finished.slice(0, 2)).toEqual([alone.broker.port, node.port].map(portInUse));
    expect(finished[2]).toMatchObject({
      code: 2,
      err: expect.stringContaining('Change FANFARE_ADMIN_PORT or FANFARE_ADMIN_HOST.'),
    });
  });

  it('all drain on SIGTERM, and the supervisor exits with code 0', async () => {
    const clients = await connectMany(node);
    const [before, ended] = [logOf(node, 'stopped').length, logOf(node, 'workerEnded').length];
    const stopped = node.stop();
    for (const { connection } of clients) {
      expect(await within('the connection is closed', connection.closed)).toEqual(closeReasons.draining);
    }
    expect(await stopped).toBe(0);
    expect(logOf(node, 'stopped').length).toBe(before + 3);
    expect(logOf(node, 'workerEnded').length).toBe(ended);
  });
});

// Concurrent: they wait for timeouts of the supervisor.
describe.concurrent('a supervisor', () => {
  it('kills a worker that does not end in time, logs it, and ends with the highest code of its workers', async () => {
    await using node = await startWorkers({ FANFARE_DRAIN_TIMEOUT_MS: '0' });
    process.kill(pidOf(node, 2), 'SIGSTOP');
    const stopped = node.stop();
    await until('the supervisor is not ready', async () => (await ask(node, '/readyz')).reason === 'draining');
    expect(await stopped).toBe(128 + constants.signals.SIGKILL);
    expect(isAlive(pidOf(node, 2))).toBe(false);
    expect(logOf(node, 'workerKilled')).toMatchObject([{ worker: 2, pid: pidOf(node, 2) }]);
  });

  it('waits for a worker that waits for Redis', async () => {
    await using hanging = await startRedis();
    await using node = await startWorkers({
      FANFARE_REDIS_URL: hanging.url,
      FANFARE_DRAIN_TIMEOUT_MS: '0',
      FANFARE_REDIS_TIMEOUT_MS: '6000',
      // Otherwise the probe closes the connection earlier.
      FANFARE_PROBE_INTERVAL_MS: '10000',
    });
    await using client = await connect(node);
    await client.connection.publish('t', 'before');
    await hanging.pause();
    client.connection.post('t', 'on the way');
    await until(
      'the publication is on the way',
      async () => sum(await metric(node, 'fanfare_publications_in_total')) === 2,
    );
    expect(await node.stop()).toBe(0);
    expect(logOf(node, 'redisReset')).not.toEqual([]);
    expect(logOf(node, 'workerKilled')).toEqual([]);
  });

  it('ends at once, with its workers, if it gets a second signal', async () => {
    await using node = await startWorkers({ FANFARE_DRAIN_WINDOW_MS: '60000' });
    const clients = await connectMany(node);
    const stopped = node.stop();
    for (const { connection } of clients) await connection.next('goaway');
    let hasStopped = false;
    void stopped.then(() => {
      hasStopped = true;
    });
    // Signals within two seconds count as one.
    await until('the process has ended', () => {
      // It may have ended a moment before this test notices.
      if (isAlive(node.pid)) process.kill(node.pid, 'SIGTERM');
      return hasStopped;
    });
    expect(await stopped).toBe(1);
    await until('no worker is left', () => ![pidOf(node, 1), pidOf(node, 2)].some(isAlive));
  });

  // Issue 13, point 12.
  describe('leaves no worker running when it is killed, and its port is free again', () => {
    // Without taking processor time.
    const hang = 'process.on("SIGUSR2", () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))';
    const env = {
      FANFARE_DRAIN_WINDOW_MS: '60000',
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hang)}`,
    };

    it.each([
      [
        'the workers drain',
        async (node: NodeProcess) => {
          const { connection } = await connect(node);
          process.kill(node.pid, 'SIGTERM');
          await connection.next('goaway');
        },
      ],
      [
        'one worker serves and the other one starts',
        async (node: NodeProcess) => {
          const pid = pidOf(node, 1);
          process.kill(pid, 'SIGKILL');
          await until('the worker is started again', () => pidOf(node, 1) !== pid);
        },
      ],
      [
        'one worker hangs and the other one is stopped',
        async (node: NodeProcess) => {
          await silence(node, 'SIGUSR2', 1);
          await silence(node, 'SIGSTOP', 2);
        },
      ],
    ])('while %s', async (_, bring) => {
      await using node = await startWorkers(env);
      await bring(node);
      const pids = [pidOf(node, 1), pidOf(node, 2)];
      try {
        process.kill(node.pid, 'SIGKILL');
        await until('no worker is left', () => !pids.some(isAlive));
      } finally {
        for (const pid of pids.filter(isAlive)) process.kill(pid, 'SIGKILL');
      }
      // The system may close the sockets of a killed process a moment later.
      await using _next = await until('the port is free', () =>
        startInProcess({ FANFARE_PORT: String(node.port) }).catch(() => null),
      );
    });
  });
});

it('a supervisor warns if the system has no setpriv, and its workers end with it unless they hang', async () => {
  const env = {
    PATH: '/nonexistent',
    FANFARE_WORKERS: '2',
    FANFARE_REDIS_URL: redis.url,
    FANFARE_PORT: '0',
    FANFARE_ADMIN_PORT: '0',
  };
  const supervisor = spawn(process.execPath, [main], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: LogLine[] = [];
  createInterface(supervisor.stdout).on('line', (line) => lines.push(JSON.parse(line) as LogLine));
  const found = (event: string): LogLine[] => lines.filter((line) => line.event === event);
  try {
    await until('all workers listen', () => found('listening').length === 3);
    expect(found('setprivMissing')).toHaveLength(1);
  } finally {
    supervisor.kill('SIGKILL');
  }
  await until('no worker is left', () => !found('workerStarted').some(({ pid }) => pid !== undefined && isAlive(pid)));
});

/** Sends a signal after which a worker does not respond. */
async function silence(node: NodeProcess, signal: NodeJS.Signals, worker: number): Promise<void> {
  process.kill(pidOf(node, worker), signal);
  await until('the worker does not respond', async () =>
    (await ask(node, '/healthz')).reason?.includes(`worker ${worker}`),
  );
}

it('the port of several workers belongs to their supervisor, even while no worker listens', async () => {
  const port = await claimPort({ host: '127.0.0.1', port: 0 });
  expect(await run([], workersOn(port))).toEqual(portInUse(port));
});

it('metrics with the same name are combined under one comment', () => {
  const text = (worker: number): string =>
    `# HELP a A.\n# TYPE a gauge\na{worker="${worker}"} 1\n\n# HELP b B.\n# TYPE b counter\nb{worker="${worker}"} 2\n`;
  expect(mergeMetrics([text(1), '', text(2)])).toBe(
    '# HELP a A.\n# TYPE a gauge\na{worker="1"} 1\na{worker="2"} 1\n\n# HELP b B.\n# TYPE b counter\nb{worker="1"} 2\nb{worker="2"} 2\n',
  );
});
