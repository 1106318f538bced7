/** The subscribers of one topic (or of one topic each) and the publisher that feeds them. */
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { buildFrame, opcodes } from './frame-walker.js';
import { type Packing, Publisher } from './publisher.js';
import { nowUs } from './stamp.js';
import { Tally } from './tally.js';
import { WebSocket } from './web-socket.js';
import type { Wire } from './wire.js';

/** Connections that may be on their way at once: below the 512 that uSockets lets wait. */
const maxConnecting = 64;

/** How long the last deliveries may take. */
const settleTimeoutMs = 10_000;

/** A timer is late by up to 1 ms: it wakes us this much too early, and the rest is spent turning. */
const timerSlackMs = 1.5;

export interface Target {
  readonly port: number;
  readonly wire: Wire;
  readonly publicationBytes: number;
}

export interface CrowdOptions {
  readonly topic: string;
  readonly subscribers: number;
  /** Whether each subscriber has a topic of its own; nobody publishes then. */
  readonly ownTopics: boolean;
}

export interface Run {
  /** Publications sent together. */
  readonly burst: number;
  readonly packing: Packing;
  /** How many bursts a second, on a schedule; null: the next one as soon as all subscribers have the last one. */
  readonly burstsPerSecond: number | null;
  readonly seconds: number;
}

export interface RunResult {
  readonly publications: number;
  readonly deliveries: number;
  readonly lost: number;
  readonly repeated: number;
  /** Bursts that were sent while deliveries of the one before were still to come. */
  readonly overlaps: number;
  readonly bursts: number;
  readonly elapsedMs: number;
  readonly generatorCpuMs: number;
  /** How late the latest 1 % of bursts were sent. */
  readonly slipP99Us: number;
  readonly latencyP50Us: number;
  readonly latencyP99Us: number;
  readonly latencyCount: number;
}

export class Crowd {
  readonly #target: Target;
  readonly #options: CrowdOptions;
  readonly #tally: Tally;
  readonly #sockets: WebSocket[] = [];
  #publisherSocket: WebSocket | null = null;
  #nextSequence = 0;
  /** What went wrong with a connection since the last look. */
  #failure: Error | null = null;

  static async open(target: Target, options: CrowdOptions): Promise<Crowd> {
    const crowd = new Crowd(target, options);
    const numbers = Array.from({ length: options.subscribers }, (_, number) => number).values();
    // Each of these opens one connection after the other; together they keep `maxConnecting` under way.
    const openers = Array.from({ length: maxConnecting }, async () => {
      for (const number of numbers) crowd.#sockets.push(await crowd.#openSubscriber(number));
    });
    await Promise.all(openers);
    return crowd;
  }

  private constructor(target: Target, options: CrowdOptions) {
    this.#target = target;
    this.#options = options;
    this.#tally = new Tally(options.subscribers);
  }

  async run(run: Run): Promise<RunResult> {
    const { publicationBytes, wire } = this.#target;
    this.#publisherSocket ??= await this.#openPublisher();
    const publisher = new Publisher(this.#publisherSocket, wire, {
      topic: this.#options.topic,
      publicationBytes,
      burst: run.burst,
      packing: run.packing,
    });
    const tally = this.#tally;
    tally.reset();
    const cpu = process.cpuUsage();
    const startedUs = nowUs();
    const sent = run.burstsPerSecond === null ? await this.#closed(publisher, run) : await this.#paced(publisher, run);
    const { user, system } = process.cpuUsage(cpu);
    const publications = sent.bursts * run.burst;
    return {
      ...sent,
      publications,
      deliveries: tally.deliveries,
      lost: publications * this.#options.subscribers - tally.deliveries,
      repeated: tally.repeated,
      elapsedMs: (nowUs() - startedUs) / 1_000,
      generatorCpuMs: (user + system) / 1_000,
      latencyP50Us: tally.latency.percentile(50),
      latencyP99Us: tally.latency.percentile(99),
      latencyCount: tally.latency.count,
    };
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
    this.#publisherSocket?.close();
  }

  /** Open loop: bursts leave on schedule, whatever has become of those before. */
  async #paced(publisher: Publisher, run: Run & { burstsPerSecond: number | null }): Promise<Sent> {
    const intervalUs = 1_000_000 / (run.burstsPerSecond ?? 1);
    const bursts = Math.max(1, Math.round((run.seconds * 1_000_000) / intervalUs));
    const deliveriesPerBurst = run.burst * this.#options.subscribers;
    const slipsUs: number[] = [];
    let overlaps = 0;
    const firstUs = nowUs() + intervalUs;
    for (let burst = 0; burst < bursts; burst++) {
      const plannedUs = firstUs + burst * intervalUs;
      await until(plannedUs);
      if (this.#tally.deliveries < burst * deliveriesPerBurst) overlaps++;
      slipsUs.push(nowUs() - plannedUs);
      this.#publish(publisher, run, plannedUs);
    }
    await this.#arrived(bursts * deliveriesPerBurst);
    slipsUs.sort((a, b) => a - b);
    return { bursts, overlaps, slipP99Us: slipsUs[Math.floor(slipsUs.length * 0.99)] ?? 0 };
  }

  /** Closed loop: the next burst leaves when every subscriber has the last one. */
  async #closed(publisher: Publisher, run: Run): Promise<Sent> {
    const tally = this.#tally;
    const deliveriesPerBurst = run.burst * this.#options.subscribers;
    const endUs = nowUs() + run.seconds * 1_000_000;
    let bursts = 0;
    await new Promise<void>((resolve) => {
      const next = (): void => {
        const now = nowUs();
        if (now >= endUs) {
          resolve();
          return;
        }
        bursts++;
        tally.awaited = bursts * deliveriesPerBurst;
        this.#publish(publisher, run, now);
      };
      tally.onAwaited = next;
      next();
      // Where a delivery is lost, nothing more would happen.
      void delay(run.seconds * 1_000 + settleTimeoutMs, undefined, { ref: false }).then(resolve);
    });
    tally.onAwaited = () => {};
    this.#throwFailure();
    return { bursts, overlaps: 0, slipP99Us: 0 };
  }

  #publish(publisher: Publisher, { burst }: Run, plannedUs: number): void {
    publisher.publish(this.#nextSequence, plannedUs);
    this.#nextSequence += burst;
  }

  async #arrived(deliveries: number): Promise<void> {
    const tally = this.#tally;
    const deadlineUs = nowUs() + settleTimeoutMs * 1_000;
    while (tally.deliveries < deliveries && nowUs() < deadlineUs) {
      this.#throwFailure();
      await delay(1);
    }
    this.#throwFailure();
  }

  async #openSubscriber(number: number): Promise<WebSocket> {
    const { wire } = this.#target;
    const topic = this.#options.ownTopics ? `${this.#options.topic}-${number}` : this.#options.topic;
    const command = wire.subscribe(topic);
    const record = (bytes: Uint8Array, stampAt: number): void => this.#tally.record(number, bytes, stampAt);
    let onAnswer: ((answer: string) => void) | null = null;
    const socket = await this.#openSocket(wire.subscriberPath(topic), (bytes, start, end) => {
      if (wire.forEachPublication(bytes, start, end, record)) return;
      const text = Buffer.from(bytes.subarray(start, end)).toString('latin1');
      if (onAnswer === null) this.#failure ??= new Error(`A subscriber got what is no publication: ${text}`);
      else onAnswer(text);
    });
    if (command === null) return socket;
    const answer = new Promise<string>((resolve) => {
      onAnswer = resolve;
    });
    socket.write(buildFrame(command, wire.isBinary ? opcodes.binary : opcodes.text));
    const text = await answer;
    onAnswer = null;
    // Both encodings of the reply contain the topic; an error has a message for people instead.
    if (text.includes('retryable') || !text.includes(topic))
      throw new Error(`The server answered a subscribe: ${text}`);
    return socket;
  }

  async #openPublisher(): Promise<WebSocket> {
    const { wire } = this.#target;
    return await this.#openSocket(wire.publisherPath(this.#options.topic), (bytes, start, end) => {
      const text = Buffer.from(bytes.subarray(start, end)).toString('latin1');
      this.#failure ??= new Error(`The server answered a publisher: ${text}`);
    });
  }

  async #openSocket(
    path: string,
    onMessage: (bytes: Uint8Array, start: number, end: number) => void,
  ): Promise<WebSocket> {
    const { port, wire } = this.#target;
    const onFailure = (error: Error): void => {
      this.#failure ??= error;
    };
    return await WebSocket.open({ port, path, subprotocol: wire.subprotocol, onMessage, onFailure });
  }

  #throwFailure(): void {
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) throw failure;
  }
}

type Sent = Pick<RunResult, 'bursts' | 'overlaps' | 'slipP99Us'>;

async function until(timeUs: number): Promise<void> {
  const restMs = (timeUs - nowUs()) / 1_000;
  if (restMs > timerSlackMs) await delay(restMs - timerSlackMs);
  while (nowUs() < timeUs) await nextTurn();
}
