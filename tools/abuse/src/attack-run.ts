/** One attack on its own nodes, with control clients, for some rounds: observations and verdict. */
import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { Disposables } from '@fanfare/kit/disposables';
import { median } from '@fanfare/kit/median';
import { readMemory } from '@fanfare/kit/process-usage';
import { becomes } from '@fanfare/kit/within';
import type { NodeProcess } from '@fanfare/local-cluster';
import type { Attack } from './attack.js';
import { AttackerProcess } from './attacker-process.js';
import { ControlClients, type ControlReport, type Latency } from './control-clients.js';
import type { Outcome } from './outcome.js';
import { startTarget } from './target.js';

export interface AttackRunOptions {
  /** The length of the attack in each round; an attack may need more. The same time is measured before and after it. */
  readonly seconds: number;
  readonly rounds: number;
  /** One node in memory, or several with a Redis; an attack may need more. */
  readonly nodes: number;
  /** The CPU on which only the attackers run; null if they share all CPUs. */
  readonly attackerCpu: number | null;
}

export interface Round {
  readonly before: Latency;
  readonly during: Latency;
  readonly after: Latency;
  /**
   * Maximum and 99th percentile of the event loop delay of a node during the attack, in milliseconds; NaN if a node did
   * not respond.
   */
  readonly lagMaxMs: number;
  readonly lagP99Ms: number;
}

export interface AttackRunResult {
  readonly attack: string;
  readonly nodes: number;
  readonly sent: number;
  /** How often each outcome was seen. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly rounds: readonly Round[];
  readonly controlClients: ControlReport;
  /** The largest growth of a node's memory during the attack. */
  readonly memoryBytes: number;
  /** Health probes. */
  readonly probes: { readonly asked: number; readonly unanswered: number };
  /** Faults of the nodes: forbidden results of the attack, wrong answers, losses, crashes, memory. */
  readonly faults: readonly string[];
  /** The slowdown of the control clients if it is too large; otherwise null. */
  readonly slowdown: string | null;
}

/** The maximum growth of a node's memory during an attack. */
const mostMemoryBytes = 192 * 1_048_576;
const memoryIntervalMs = 200;
const settleMs = 300;

/** The median latency during an attack may exceed one of these limits, compared with before, but not both. */
const mostSlowdown = 1.2;
const mostSlowdownMs = 1;
/** The same for the 99th percentile, if the attackers have their own CPU. Otherwise it means little. */
const mostTailSlowdown = 1.5;

/** The time until the nodes must be ready again. */
const readyMs = 10_000;

/** The interval of health probes for each node. */
const probeIntervalMs = 500;
/**
 * Half of the time after which Kubernetes kills a node: a busy machine is not a fault of the node. A full port refuses
 * at once.
 */
const adminTimeoutMs = 30_000;

export async function runAttack(attack: Attack, options: AttackRunOptions): Promise<AttackRunResult> {
  await using parts = new Disposables();
  const target = await startTarget(attack, Math.max(options.nodes, attack.leastNodes), parts);
  const { nodes } = target;
  const urls = (attack.isCutting ? nodes.slice(0, -1) : nodes).map(({ url }) => url);
  const controlClients = parts.use(await ControlClients.start(urls));
  await delay(settleMs);
  const outcomes = new Map<string, number>();
  const faults = new Set<string>();
  const rounds: Round[] = [];
  const memory = nodes.map(({ pid }) => parts.use(new MemoryWatch(pid)));
  await Promise.all(memory.map((watch) => watch.begin()));
  const probes = parts.use(new Probes(nodes));
  let sent = 0;
  for (let round = 0; round < options.rounds; round++) {
    const seconds = Math.max(options.seconds, attack.leastSeconds);
    const attackerProcess = parts.use(new AttackerProcess(attack, target, seconds, options.attackerCpu));
    await attackerProcess.ask('start', null);
    controlClients.takeLatency();
    await delay(options.seconds * 1_000);
    const before = controlClients.takeLatency();
    await readLag(nodes);
    const [report, [during, lag]] = await Promise.all([
      attackerProcess.attack(),
      // The attackers wait for the last answers after the attack. That time does not count.
      delay(seconds * 1_000).then(async () => [controlClients.takeLatency(), await readLag(nodes)] as const),
    ]);
    controlClients.takeLatency();
    await delay(options.seconds * 1_000);
    rounds.push({ before, during, after: controlClients.takeLatency(), ...lag });
    sent += report.sent;
    for (const [outcome, count] of Object.entries(report.outcomes))
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + count);
    for (const fault of report.faults) faults.add(fault);
  }
  const found = {
    attack: attack.name,
    nodes: nodes.length,
    sent,
    outcomes: Object.fromEntries(outcomes),
    rounds,
    controlClients: await controlClients.finish(),
    memoryBytes: Math.max(...memory.map(({ growthBytes }) => growthBytes)),
    probes: await probes.finish(),
  };
  return {
    ...found,
    faults: [...faults, ...wrongAnswers(attack, outcomes), ...damage(found), ...(await ending(nodes))],
    slowdown: slowdownOf(rounds, options.attackerCpu !== null),
  };
}

function* wrongAnswers({ answers, besides }: Attack, seen: ReadonlyMap<string, number>): Iterable<string> {
  for (const answer of answers) if (!seen.has(answer)) yield `${answer} was not seen`;
  const documented = new Set<string>([...answers, ...besides] satisfies Outcome[]);
  for (const [outcome, count] of seen) if (!documented.has(outcome)) yield `${outcome} was seen ${count} times`;
}

function* damage(found: Omit<AttackRunResult, 'faults' | 'slowdown'>): Iterable<string> {
  const { controlClients, memoryBytes, probes, rounds } = found;
  for (const name of ['lost', 'repeated', 'reconnects', 'refused'] as const) {
    if (controlClients[name] > 0) yield `control clients: ${controlClients[name]} ${name}`;
  }
  if (memoryBytes > mostMemoryBytes) yield `a node grew by ${Math.round(memoryBytes / 1_048_576)} MiB`;
  if (probes.unanswered > 0) yield `${probes.unanswered} of ${probes.asked} probes were not answered`;
  if (rounds.some(({ lagMaxMs }) => Number.isNaN(lagMaxMs))) yield '/metrics of a node could not be read';
}

/** Whether the nodes still run and accept control clients. */
async function ending(nodes: readonly NodeProcess[]): Promise<readonly string[]> {
  if (!(await becomes(readyMs, () => areReady(nodes)))) return ['a node is not ready afterwards'];
  try {
    const newcomers = await ControlClients.start(nodes.map(({ url }) => url));
    await newcomers[Symbol.asyncDispose]();
    return [];
  } catch {
    return ['a control client could not connect afterwards'];
  }
}

async function areReady(nodes: readonly NodeProcess[]): Promise<boolean> {
  const answers = await Promise.all(nodes.map((node) => askAdmin(node, '/readyz')));
  return answers.every((answer) => answer !== null);
}

/** The slowdown of the control clients; `isTailJudged`: also check the 99th percentile. */
export function slowdownOf(rounds: readonly Round[], isTailJudged: boolean): string | null {
  const p50 = courseOf(rounds, 'p50Ms');
  const p99 = courseOf(rounds, 'p99Ms');
  const isSlow = p50.during > p50.before * mostSlowdown && p50.during > p50.before + mostSlowdownMs;
  if (isSlow) return slowdown('p50', p50);
  return isTailJudged && p99.during > p99.before * mostTailSlowdown ? slowdown('p99', p99) : null;
}

function slowdown(name: string, { before, during }: Course): string {
  return `${name} of control clients ${before.toFixed(2)} ms before, ${during.toFixed(2)} ms during`;
}

/** Medians of the rounds. */
export type Course = Readonly<Record<'before' | 'during' | 'after', number>>;

export function courseOf(rounds: readonly Round[], key: 'p50Ms' | 'p99Ms'): Course {
  const middle = (part: keyof Course): number => median(rounds.map((round) => round[part][key]));
  return { before: middle('before'), during: middle('during'), after: middle('after') };
}

/** The largest delay of the nodes. */
async function readLag(nodes: readonly NodeProcess[]): Promise<Pick<Round, 'lagMaxMs' | 'lagP99Ms'>> {
  // Reading resets it.
  const pages = await Promise.all(nodes.map((node) => askAdmin(node, '/metrics')));
  const read = (name: string): number =>
    Math.max(
      ...pages.map((page) => Number(new RegExp(`^${name}(?:{.*?})? (\\S+)`, 'm').exec(page ?? '')?.[1]) * 1_000),
    );
  return { lagMaxMs: read('nodejs_eventloop_lag_max_seconds'), lagP99Ms: read('nodejs_eventloop_lag_p99_seconds') };
}

/** The body of an answer with status 200, on a new connection; null if there is none in time. */
async function askAdmin({ adminUrl }: NodeProcess, path: string): Promise<string | null> {
  try {
    const signal = AbortSignal.timeout(adminTimeoutMs);
    return await new Promise((resolve, reject) => {
      get(`${adminUrl}${path}`, { agent: false, signal }, (response) => {
        resolve(text(response).then((body) => (response.statusCode === 200 ? body : null)));
      }).once('error', reject);
    });
  } catch {
    return null;
  }
}

/** Probes the health of nodes, as Kubernetes does. */
class Probes implements AsyncDisposable {
  readonly #answers: Promise<string | null>[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(nodes: readonly NodeProcess[]) {
    const ask = (): void => void this.#answers.push(...nodes.map((node) => askAdmin(node, '/healthz')));
    this.#timer = setInterval(ask, probeIntervalMs);
  }

  /** Stops probing. */
  async finish(): Promise<AttackRunResult['probes']> {
    clearInterval(this.#timer);
    const answers = await Promise.all(this.#answers);
    return { asked: answers.length, unanswered: answers.filter((answer) => answer === null).length };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
  }
}

/** The peak memory of a process. */
class MemoryWatch implements AsyncDisposable {
  #timer: NodeJS.Timeout | undefined;
  #beginBytes = 0;
  #mostBytes = 0;

  constructor(private readonly pid: number) {}

  async begin(): Promise<void> {
    this.#beginBytes = (await readMemory(this.pid)).anonymousBytes;
    this.#mostBytes = this.#beginBytes;
    this.#timer = setInterval(() => void this.#look(), memoryIntervalMs);
  }

  get growthBytes(): number {
    return this.#mostBytes - this.#beginBytes;
  }

  async #look(): Promise<void> {
    // The process may have ended, which other checks report.
    const memory = await readMemory(this.pid).catch(() => null);
    this.#mostBytes = Math.max(this.#mostBytes, memory?.anonymousBytes ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
  }
}
