/**
 * Measures the garbage collections of servers that run on Node, through a socket to code that is loaded before theirs
 * (garbage-preload.ts).
 */
import { once } from 'node:events';
import { mkdtemp, readlink, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { becomes, within } from '@fanfare/kit/within';
import type { DeployedProcess } from './deployment.js';
import { type GarbageAnswer, type GarbageRequest, socketVariable } from './garbage-protocol.js';
import type { GarbageReport } from './result.js';

/** A process that did not connect by then, or does not answer, is broken. */
const answerTimeoutMs = 30_000;

export class GarbageMeter implements AsyncDisposable {
  /** For the servers to be measured. Programs that are not Node ignore it. */
  readonly env: Readonly<Record<string, string>>;
  readonly #folder: string;
  readonly #server: Server;
  readonly #peers = new Map<number, Peer>();

  static async start(): Promise<GarbageMeter> {
    const folder = await mkdtemp(join(tmpdir(), 'loadtest-'));
    const server = createServer();
    const meter = new GarbageMeter(folder, server);
    server.listen(join(folder, 'garbage'));
    await once(server, 'listening');
    return meter;
  }

  private constructor(folder: string, server: Server) {
    this.#folder = folder;
    this.#server = server;
    const preload = new URL('../../dist/load/garbage-preload.js', import.meta.url).href;
    this.env = { NODE_OPTIONS: `--import=${preload}`, [socketVariable]: join(folder, 'garbage') };
    server.on('connection', (socket) => this.#greet(socket));
  }

  async begin(processes: readonly DeployedProcess[]): Promise<void> {
    await this.#ask(processes, 'begin');
  }

  /** The servers on Node, in their order; null if there is none. */
  async end(processes: readonly DeployedProcess[]): Promise<readonly GarbageReport[] | null> {
    const reports = await this.#ask(processes, 'end');
    return reports.length === 0 ? null : reports;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.#peers.values()) socket.destroy();
    this.#server.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #ask(processes: readonly DeployedProcess[], request: GarbageRequest): Promise<GarbageReport[]> {
    const reports = await Promise.all(
      processes.map(async ({ name, role, pid }) => {
        if (role !== 'server' || basename(await readlink(`/proc/${pid}/exe`)) !== 'node') return [];
        const answer = ask(await this.#peer(pid, name), request);
        const report = await within(answerTimeoutMs, answer, `${name} did not answer "${request}"`);
        return report === null ? [] : [{ process: name, ...report }];
      }),
    );
    return reports.flat();
  }

  async #peer(pid: number, name: string): Promise<Peer> {
    await becomes(answerTimeoutMs, () => this.#peers.has(pid));
    const peer = this.#peers.get(pid);
    if (peer === undefined) throw new Error(`${name} does not report its garbage collections.`);
    return peer;
  }

  #greet(socket: Socket): void {
    // A server that is killed: the next question fails.
    socket.on('error', () => {});
    const lines = createInterface({ input: socket });
    lines.once('line', (pid) => this.#peers.set(Number(pid), { socket, lines }));
  }
}

interface Peer {
  readonly socket: Socket;
  readonly lines: Interface;
}

async function ask({ socket, lines }: Peer, request: GarbageRequest): Promise<GarbageAnswer | null> {
  const answer = once(lines, 'line');
  socket.write(`${request}\n`);
  const [line] = (await answer) as [string];
  return JSON.parse(line) as GarbageAnswer | null;
}
