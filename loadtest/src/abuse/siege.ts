/** One attack on a node of its own, with good clients beside it, for some rounds: what was seen, and what is to be thought of it. */
import { setTimeout as delay } from 'node:timers/promises';
import { type NodeProcess, startNode } from '@fanfare/local-cluster';
import { median } from '../median.js';
import { readMemory } from '../process-usage.js';
import { Parts } from '../verify/parts.js';
import type { Attack } from './attack.js';
import { authSetting } from './keys.js';
import type { Outcome } from './outcome.js';
import { proxyNetwork } from './raid.js';
import { Raider } from './raider.js';
import { type Latency, Regulars, type RegularsReport } from './regulars.js';

export interface SiegeOptions {
  /** Of the attack, in each round; an attack may need more. As long is measured before and after it. */
  readonly seconds: number;
  readonly rounds: number;
}

export interface Round {
  readonly before: Latency;
  readonly during: Latency;
  readonly after: Latency;
  /** Longest and 99th percentile of how late the node's event loop was, during the attack, in milliseconds. */
  readonly lagMaxMs: number;
  readonly lagP99Ms: number;
}

export interface SiegeResult {
  readonly attack: string;
  readonly sent: number;
  /** How often each outcome was seen. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly rounds: readonly Round[];
  readonly regulars: RegularsReport;
  /** Most that the node had allocated during the attack beyond what it had before. */
  readonly memoryBytes: number;
  /** What speaks against the node: wrong answers, losses, its end, its memory. */
  readonly faults: readonly string[];
  /** What the good clients have felt, where it is more than they should; null: nothing. */
  readonly slowdown: string | null;
}

const commonSettings = { FANFARE_TRUSTED_PROXIES: proxyNetwork };

/** Nothing that an attacker does may make a node of this size grow by more. */
const mostMemoryBytes = 192 * 1_048_576;
const memoryIntervalMs = 200;
const settleMs = 300;

/** During an attack the median latency may be so much more than before it: one of both. */
const mostSlowdown = 1.2;
const mostSlowdownMs = 1;

export async function besiege(attack: Attack, options: SiegeOptions): Promise<SiegeResult> {
  await using parts = new Parts();
  const env = { ...commonSettings, FANFARE_AUTH: authSetting, ...attack.settings };
  const node = parts.use(await startNode({ env }));
  const regulars = parts.use(await Regulars.start(node.url));
  await delay(settleMs);
  const outcomes = new Map<string, number>();
  const rounds: Round[] = [];
  const memory = new MemoryWatch(node.pid);
  parts.use(memory);
  await memory.begin();
  let sent = 0;
  for (let round = 0; round < options.rounds; round++) {
    const seconds = Math.max(options.seconds, attack.leastSeconds);
    const raider = parts.use(new Raider(attack, node.port, seconds));
    await raider.ready();
    regulars.takeLatency();
    await delay(options.seconds * 1_000);
    const before = regulars.takeLatency();
    await readLag(node);
    const [report, [during, lag]] = await Promise.all([
      raider.raid(),
      // What comes later than the attack is none of it: the attackers wait for the last answers.
      delay(seconds * 1_000).then(async () => [regulars.takeLatency(), await readLag(node)] as const),
    ]);
    regulars.takeLatency();
    await delay(options.seconds * 1_000);
    rounds.push({ before, during, after: regulars.takeLatency(), ...lag });
    sent += report.sent;
    for (const [outcome, count] of Object.entries(report.outcomes))
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + count);
  }
  const found = {
    attack: attack.name,
    sent,
    outcomes: Object.fromEntries(outcomes),
    rounds,
    regulars: await regulars.finish(),
    memoryBytes: memory.growthBytes,
  };
  const faults = [...wrongAnswers(attack, outcomes), ...damage(found), ...(await ending(node))];
  return { ...found, faults, slowdown: slowdownOf(rounds) };
}

function* wrongAnswers({ answers, besides }: Attack, seen: ReadonlyMap<string, number>): Iterable<string> {
  for (const answer of answers) if (!seen.has(answer)) yield `${answer} was not seen`;
  const documented = new Set<string>([...answers, ...besides] satisfies Outcome[]);
  for (const [outcome, count] of seen) if (!documented.has(outcome)) yield `${outcome} was seen ${count} times`;
}

function* damage({ regulars, memoryBytes }: Pick<SiegeResult, 'regulars' | 'memoryBytes'>): Iterable<string> {
  for (const name of ['lost', 'repeated', 'reconnects', 'refused'] as const) {
    if (regulars[name] > 0) yield `good clients: ${regulars[name]} ${name}`;
  }
  if (memoryBytes > mostMemoryBytes) yield `the node grew by ${Math.round(memoryBytes / 1_048_576)} MiB`;
}

/** Whether the node is still there, and lets good clients in. */
async function ending(node: NodeProcess): Promise<readonly string[]> {
  const response = await fetch(`${node.adminUrl}/readyz`).catch(() => null);
  if (response?.status !== 200) return ['the node is not ready afterwards'];
  try {
    const newcomers = await Regulars.start(node.url);
    await newcomers[Symbol.asyncDispose]();
    return [];
  } catch {
    return ['a good client could not come in afterwards'];
  }
}

export function slowdownOf(rounds: readonly Round[]): string | null {
  const before = median(rounds.map((round) => round.before.p50Ms));
  const during = median(rounds.map((round) => round.during.p50Ms));
  if (during <= before * mostSlowdown || during <= before + mostSlowdownMs) return null;
  return `p50 of good clients ${before.toFixed(2)} ms before, ${during.toFixed(2)} ms during`;
}

async function readLag(node: NodeProcess): Promise<Pick<Round, 'lagMaxMs' | 'lagP99Ms'>> {
  // Reading resets it.
  const text = await (await fetch(`${node.adminUrl}/metrics`)).text();
  const read = (name: string): number => Number(new RegExp(`^${name}(?:{.*?})? (\\S+)`, 'm').exec(text)?.[1]) * 1_000;
  return { lagMaxMs: read('nodejs_eventloop_lag_max_seconds'), lagP99Ms: read('nodejs_eventloop_lag_p99_seconds') };
}

/** The most that a process has allocated. */
class MemoryWatch implements AsyncDisposable {
  readonly #pid: number;
  #timer: NodeJS.Timeout | undefined;
  #beginBytes = 0;
  #mostBytes = 0;

  constructor(pid: number) {
    this.#pid = pid;
  }

  async begin(): Promise<void> {
    this.#beginBytes = (await readMemory(this.#pid)).anonymousBytes;
    this.#mostBytes = this.#beginBytes;
    this.#timer = setInterval(() => void this.#look(), memoryIntervalMs);
  }

  get growthBytes(): number {
    return this.#mostBytes - this.#beginBytes;
  }

  async #look(): Promise<void> {
    // The process may have ended: that is told by others.
    const memory = await readMemory(this.#pid).catch(() => null);
    this.#mostBytes = Math.max(this.#mostBytes, memory?.anonymousBytes ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
  }
}
