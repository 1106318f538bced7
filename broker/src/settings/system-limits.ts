/**
 * Compares the limits of the system with the settings at startup, so that the log warns of a low limit before load
 * reaches it.
 */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { cpuLimit } from './cpus.js';
import { maxClientSockets } from './file-descriptors.js';

/** A limit that is too low. */
interface SystemLimit {
  /** Its name in the system. */
  readonly limit: string;
  readonly value: number;
  readonly wanted: number;
  /** What happens, and what to do. */
  readonly sentence: string;
}

interface SystemSettings {
  readonly maxConnections: number;
  readonly workers: number;
}

/** The limits of the system; infinite if unknown or unlimited. */
export interface System {
  /** `ulimit -n`, minus the file descriptors that are not for clients. */
  readonly clientSockets: number;
  /** Connections that wait to be accepted: net.core.somaxconn. */
  readonly backlog: number;
  /** Connections that the firewall of this machine can track: net.netfilter.nf_conntrack_max. */
  readonly trackedConnections: number;
  /** CPU limit of the control group. */
  readonly cpus: number;
  /** Memory limit of the control group. */
  readonly memoryBytes: number;
  /** Heap limit of V8. */
  readonly heapBytes: number;
}

/** The backlog with which uWebSockets listens. */
const listenBacklog = 512;

/** Share of the memory that the heap may use: socket buffers and frames are outside of it. */
const heapShare = 0.85;

/**
 * The most that V8 adds to `--max-old-space-size` for young objects in a container of up to 1 GiB: 48 MiB with Node 24,
 * less with Node 20 and 26 (measured). Above that, 60 % of the memory is the smaller limit.
 */
const youngBytes = 48 * 1_048_576;

const mebibyte = 1_048_576;

export function systemLimits(settings: SystemSettings, system: System = readSystem()): SystemLimit[] {
  const { maxConnections, workers } = settings;
  const limits: SystemLimit[] = [];
  const check = (limit: string, value: number, wanted: number, sentence: string): void => {
    if (value < wanted) limits.push({ limit, value: round(value), wanted: round(wanted), sentence });
  };
  const { clientSockets, backlog, trackedConnections, cpus, memoryBytes, heapBytes } = system;
  check(
    'nofile',
    clientSockets,
    maxConnections,
    `This process has file descriptors for only ${clientSockets} connections, but FANFARE_MAX_CONNECTIONS is ${maxConnections}. The node closes sockets beyond that immediately. Raise the limit of open files (ulimit -n, LimitNOFILE, default-ulimits of the container runtime), or lower FANFARE_MAX_CONNECTIONS.`,
  );
  check(
    'net.core.somaxconn',
    backlog,
    listenBacklog,
    `net.core.somaxconn is ${backlog}. If more clients than that connect at once, the others wait a second or more. Set it to ${listenBacklog} or more.`,
  );
  check(
    'net.netfilter.nf_conntrack_max',
    trackedConnections,
    maxConnections * workers,
    `The firewall of this machine tracks at most ${trackedConnections} connections (net.netfilter.nf_conntrack_max), but the settings allow ${maxConnections * workers}. It silently drops packets of the rest. Raise the limit, or exclude the port from tracking.`,
  );
  check(
    'cpu.max',
    cpus,
    workers,
    `The container may use ${round(cpus)} CPUs but runs ${workers} event loop${workers === 1 ? '' : 's'}, and each can use a whole CPU. When the limit is reached, all clients wait. Raise or remove the CPU limit.`,
  );
  check(
    'memory.max',
    memoryBytes,
    (heapBytes * workers) / heapShare,
    `The container has ${round(memoryBytes / mebibyte)} MiB of memory. The JavaScript heap may use ${round((heapBytes * workers) / mebibyte)} of it. Too little is left for socket buffers, so the kernel may kill the node. Set NODE_OPTIONS=--max-old-space-size=${advisedHeap(memoryBytes / workers)}, or give the container more memory.`,
  );
  return limits;
}

/** The current limits. */
export function readSystem(): System {
  return {
    clientSockets: maxClientSockets(),
    backlog: readNumber('/proc/sys/net/core/somaxconn'),
    trackedConnections: readNumber('/proc/sys/net/netfilter/nf_conntrack_max'),
    cpus: cpuLimit(read('/sys/fs/cgroup/cpu.max') ?? ''),
    memoryBytes: readNumber('/sys/fs/cgroup/memory.max'),
    heapBytes: getHeapStatistics().heap_size_limit,
  };
}

/** In MiB: 60 % of the memory, or less if the rest would be too small. */
function advisedHeap(memoryBytes: number): number {
  const most = Math.min(memoryBytes * 0.6, memoryBytes * heapShare - youngBytes);
  return Math.max(16, Math.floor(most / mebibyte));
}

/** Memory of the container, or of the machine if there is no limit. */
export function memoryLimitBytes(): number {
  return Math.min(readNumber('/sys/fs/cgroup/memory.max'), totalmem());
}

function readNumber(path: string): number {
  const text = read(path)?.trim() ?? '';
  return /^\d+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
