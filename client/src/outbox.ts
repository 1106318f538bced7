/**
 * Publications on their way: sent at once where a connection is up and not too much is unanswered, else held, up to a bound. What
 * fails and may be repeated is sent again, and what was published to its topic later waits behind it.
 */
import type { ClientCodec, OutgoingPublish, ReplyErrorCode } from '@fanfare/protocol';
import type { Connection } from './connection.js';
import { DataError, FanfareError, ReplyError } from './errors.js';
import { type Outgoing, outgoing } from './frames.js';
import type { Levels } from './levels.js';
import type { Limits } from './options.js';
import type { Answer, Request, Requests } from './requests.js';

export interface OutboxSettings extends Limits {
  readonly codec: ClientCodec;
  readonly requests: Requests;
  readonly levels: Levels;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
}

/** Upper ends of the random delay before a refused publication is sent again: the first one, and where the doubling ends. */
export const retryBaseDelayMs = 50;
export const retryMaxDelayMs = 1_000;

/**
 * A node recognises a `messageId` for 120 s after it has first seen it. What may have been published is not repeated when this
 * much has passed: the rest is for the way there.
 */
export const repeatWindowMs = 100_000;

/** Makes the error of a publication that is given up. */
export type Failure = (posting: Posting) => FanfareError;

const timedOut: Failure = ({ maybeDelivered, refusal: cause }) =>
  new FanfareError('timeout', { message: cause && `No answer in time. ${cause.message}`, maybeDelivered, cause });

/** A publication, from `publish()` or `send()` until it is settled. */
export class Posting implements Request {
  readonly topic: string;
  readonly settle: (answer: Answer) => void;
  readonly onAnswer: (answer: Answer) => void;
  /** Null where no answer is wanted. */
  id: number | null = null;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Its place among all publications. */
  order = 0;
  outgoing: Outgoing | null = null;
  connection: Connection | null = null;
  /** When it left first, as far as it may have been published. */
  sentAt = 0;
  /** Why it has to be sent again. */
  refusal: FanfareError | undefined;
  /** After which failure nobody knows whether it was published. */
  doubt: FanfareError | undefined;
  isSettled = false;

  constructor(topic: string, settle: (answer: Answer) => void, onAnswer: (posting: Posting, answer: Answer) => void) {
    this.topic = topic;
    this.settle = settle;
    this.onAnswer = (answer) => onAnswer(this, answer);
  }

  get maybeDelivered(): boolean {
    return this.doubt !== undefined || (this.connection !== null && this.outgoing?.isSent === true);
  }
}

/** Publications of one topic that cannot leave yet. */
interface Lane {
  /** In the order of their publishing. */
  readonly postings: Posting[];
  /** After a failure one goes ahead, alone: were it refused again, those behind it would overtake it. */
  scout: Posting | null;
  failures: number;
  /** Runs until the next try. */
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Whether the node has been asked for the level of the topic. */
  isAsking: boolean;
}

export class Outbox {
  readonly #settings: OutboxSettings;
  /** Where publications leave: it is up, and its node has said how long a frame may be. */
  #connection: Connection | null = null;
  /** Whether publications wait because they are about to leave on another connection. */
  #isPaused = false;
  readonly #lanes = new Map<string, Lane>();
  /** All postings in lanes. */
  #waiting = 0;
  #waitingBytes = 0;
  /** All that somebody waits for. */
  readonly #unsettled = new Set<Posting>();
  /** Those of them that are sent and unanswered. */
  readonly #flying = new Set<Posting>();
  #flyingBytes = 0;
  #isRunPlanned = false;
  #lastOrder = 0;
  /** Longest frame that the last node takes. Null where none has said. */
  #maxFrameBytes: number | null = null;
  #onQuiet: (() => void) | null = null;
  #quietTimer: ReturnType<typeof setTimeout> | undefined;
  #onEmpty: Array<() => void> = [];

  constructor(settings: OutboxSettings) {
    this.#settings = settings;
  }

  /** From now on publications leave on this connection, beginning with all that wait. */
  resume(connection: Connection): void {
    this.#use(connection);
    this.#maxFrameBytes = connection.maxFrameBytes;
    for (const [topic, lane] of this.#lanes) {
      stopTimer(lane);
      this.#run(topic, lane);
    }
  }

  /** From now on publications wait, as they are about to leave on another connection. */
  pause(): void {
    this.#isPaused = true;
  }

  /** Calls back once all that was sent is answered, or `timeoutMs` later: then the rest will be sent again. */
  whenQuiet(timeoutMs: number, onQuiet: () => void): void {
    this.#onQuiet = onQuiet;
    this.#quietTimer = setTimeout(onQuiet, timeoutMs);
    this.#tellIfQuiet();
  }

  /** They go on leaving where they did. */
  stay(): void {
    if (this.#isPaused && this.#connection !== null) this.resume(this.#connection);
  }

  /** The connection is gone. */
  lost(connection: Connection): void {
    if (this.#connection === connection) this.#use(null);
  }

  /** Begins a publication whose data comes with {@link post}; its deadline runs from now on. `settle` is called once, later. */
  open(topic: string, timeoutMs: number, settle: (answer: Answer) => void): Posting {
    const posting = new Posting(topic, settle, this.#onAnswer);
    posting.id = this.#settings.requests.add(posting);
    this.#unsettled.add(posting);
    posting.timer = setTimeout(() => this.fail(posting, timedOut), timeoutMs);
    return posting;
  }

  /** Sends it, or lets it wait, unless it is settled. Throws `invalidData`, `frameTooLarge` or `queueFull`. */
  post(posting: Posting, command: OutgoingPublish): void {
    if (posting.isSettled) return;
    const encoded = outgoing(this.#encode(command));
    const error = this.#tooLarge(encoded.bytes) ?? this.#full(posting.topic, encoded.bytes);
    if (error !== null) throw error;
    posting.outgoing = encoded;
    posting.order = ++this.#lastOrder;
    const isHeld = this.#isPaused || this.#lanes.has(posting.topic) || !this.#hasRoom(encoded.bytes);
    if (this.#connection === null || isHeld) this.#wait(posting);
    else this.#send(posting, this.#connection);
  }

  /** As {@link post}, without an answer. `onRefused` is told where it turns out later that it cannot be sent. */
  send(command: OutgoingPublish, onRefused: (error: FanfareError) => void): void {
    const settle = (answer: Answer): void => {
      if (answer instanceof FanfareError) onRefused(answer);
    };
    this.post(new Posting(command.topic, settle, this.#onAnswer), command);
  }

  /** Gives a publication up. What has not been sent is taken back. */
  fail(posting: Posting, why: Failure): void {
    const { topic, connection, outgoing } = posting;
    const error = why(posting);
    if (outgoing !== null) connection?.remove(outgoing);
    const lane = this.#lanes.get(topic);
    const place = lane?.postings.indexOf(posting) ?? -1;
    if (place >= 0) {
      lane?.postings.splice(place, 1);
      this.#count(posting, -1);
    }
    if (lane?.scout === posting) lane.scout = null;
    this.#settle(posting, error);
    if (lane !== undefined) this.#run(topic, lane);
  }

  /** Gives all up, and forgets the node. What nobody waits for is dropped. */
  failAll(why: Failure): void {
    this.#use(null);
    this.#maxFrameBytes = null;
    for (const lane of this.#lanes.values()) stopTimer(lane);
    this.#lanes.clear();
    this.#waiting = 0;
    this.#waitingBytes = 0;
    for (const posting of this.#unsettled) this.fail(posting, why);
    this.#tellIfEmpty();
  }

  /** Resolves once nothing waits any more. */
  empty(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEmpty.push(resolve);
      this.#tellIfEmpty();
    });
  }

  #use(connection: Connection | null): void {
    this.#connection = connection;
    this.#isPaused = false;
    this.#onQuiet = null;
    clearTimeout(this.#quietTimer);
  }

  #encode(command: OutgoingPublish): string | Uint8Array {
    try {
      return this.#settings.codec.encode(command);
    } catch (cause) {
      // A loop in the data, or a bigint in JSON.
      const message = `The data for ${command.topic} cannot be encoded: ${(cause as Error).message}`;
      throw new DataError('invalidData', command.topic, [], { message, cause });
    }
  }

  #tooLarge(bytes: number): FanfareError | null {
    if (this.#maxFrameBytes === null || bytes <= this.#maxFrameBytes) return null;
    const message = `The publication has ${bytes} bytes; a frame may have ${this.#maxFrameBytes}.`;
    return new FanfareError('frameTooLarge', { message });
  }

  #full(topic: string, bytes: number): FanfareError | null {
    const { maxUnsentBytes, maxQueuedPublications, maxQueuedBytes } = this.#settings;
    const total = this.#waitingBytes + bytes;
    const lane = this.#lanes.get(topic);
    const isFull =
      this.#connection !== null && (this.#isPaused || lane === undefined || !isFailing(lane))
        ? this.#connection.unsentBytes + total > maxUnsentBytes
        : this.#waiting >= maxQueuedPublications || total > maxQueuedBytes;
    return isFull ? new FanfareError('queueFull') : null;
  }

  #send(posting: Posting, connection: Connection): void {
    const { outgoing, id } = posting;
    if (outgoing === null) return;
    const error = this.#tooLarge(outgoing.bytes);
    if (error !== null) return this.#settle(posting, posting.doubt ?? error);
    outgoing.isSent = false;
    if (id !== null) {
      posting.connection = connection;
      if (posting.doubt === undefined) posting.sentAt = performance.now();
      this.#flying.add(posting);
      this.#flyingBytes += outgoing.bytes;
    }
    connection.post(outgoing);
  }

  #hasRoom(bytes: number): boolean {
    return this.#flyingBytes === 0 || this.#flyingBytes + bytes <= this.#settings.maxInFlightBytes;
  }

  /** It is answered, or will not be. Where there is room again, what waits for it goes on: not one by one, as each costs a look at all. */
  #land(posting: Posting): void {
    if (!this.#flying.delete(posting)) return;
    this.#flyingBytes -= posting.outgoing?.bytes ?? 0;
    if (this.#waiting === 0 || this.#isRunPlanned || this.#flyingBytes > this.#settings.maxInFlightBytes / 2) return;
    this.#isRunPlanned = true;
    queueMicrotask(() => {
      this.#isRunPlanned = false;
      for (const [topic, lane] of this.#lanes) this.#run(topic, lane);
    });
  }

  /** The posting joins its lane, where it belongs. */
  #wait(posting: Posting): Lane {
    const { topic, order } = posting;
    let lane = this.#lanes.get(topic);
    if (lane === undefined) {
      lane = { postings: [], scout: null, failures: 0, timer: undefined, isAsking: false };
      this.#lanes.set(topic, lane);
    }
    const { postings } = lane;
    let place = postings.length;
    while (place > 0 && (postings[place - 1] as Posting).order > order) place--;
    postings.splice(place, 0, posting);
    this.#count(posting, 1);
    return lane;
  }

  readonly #onAnswer = (posting: Posting, answer: Answer): void => {
    const { topic } = posting;
    const lane = this.#lanes.get(topic);
    const isScout = lane?.scout === posting;
    if (isScout) lane.scout = null;
    this.#land(posting);
    posting.connection = null;
    const isAccepted = !(answer instanceof FanfareError);
    if (isAccepted) {
      if (answer.type === 'published') this.#settings.levels.learn(topic, answer.position !== null);
      this.#settle(posting, answer);
    } else {
      this.#retry(posting, answer);
    }
    if (isScout) this.#run(topic, lane, isAccepted);
    this.#tellIfQuiet();
  };

  #retry(posting: Posting, refusal: FanfareError): void {
    const isRefused = refusal instanceof ReplyError;
    if (refusal.maybeDelivered) posting.doubt = refusal;
    if (isRefused && !refusal.retryable) return this.#settle(posting, withDoubt(refusal, posting));
    if (posting.doubt !== undefined && this.#settings.levels.hasHistory(posting.topic) === false) {
      return this.#settle(posting, posting.doubt);
    }
    posting.refusal = refusal;
    const lane = this.#wait(posting);
    if (isRefused && lane.scout === null && !lane.isAsking) this.#planRun(posting.topic, lane);
  }

  #planRun(topic: string, lane: Lane): void {
    if (lane.timer !== undefined) return;
    const most = Math.min(retryMaxDelayMs, retryBaseDelayMs * 2 ** lane.failures);
    lane.failures++;
    lane.timer = setTimeout(() => {
      lane.timer = undefined;
      this.#run(topic, lane);
    }, this.#settings.random() * most);
  }

  /** Sends what may leave. `isProven`: the node takes publications of this topic again. */
  #run(topic: string, lane: Lane, isProven = false): void {
    const connection = this.#connection;
    if (connection !== null && !this.#isPaused && lane.timer === undefined && lane.scout === null && !lane.isAsking) {
      if (lane.postings.some(({ doubt }) => doubt !== undefined)) {
        const hasHistory = this.#settings.levels.hasHistory(topic);
        if (hasHistory === null) return this.#askLevel(topic, lane, connection);
        const isTooOld = ({ sentAt }: Posting): boolean => performance.now() - sentAt > repeatWindowMs;
        for (const posting of [...lane.postings]) {
          const { doubt } = posting;
          if (doubt === undefined || (hasHistory && !isTooOld(posting))) continue;
          lane.postings.splice(lane.postings.indexOf(posting), 1);
          this.#count(posting, -1);
          this.#settle(posting, doubt);
        }
      }
      const isCareful = !isProven && lane.postings.some(({ refusal }) => refusal !== undefined);
      while (lane.scout === null) {
        const [posting] = lane.postings;
        if (posting === undefined || !this.#hasRoom(posting.outgoing?.bytes ?? 0)) break;
        lane.postings.shift();
        this.#count(posting, -1);
        this.#send(posting, connection);
        if (isCareful && this.#flying.has(posting)) lane.scout = posting;
      }
    }
    const isOver = lane.postings.length === 0 && lane.scout === null && !lane.isAsking;
    if (isOver && this.#lanes.get(topic) === lane) {
      stopTimer(lane);
      this.#lanes.delete(topic);
    }
    this.#tellIfEmpty();
  }

  /** What may have been published can be repeated only where the topic has history: the node would publish it twice. */
  #askLevel(topic: string, lane: Lane, connection: Connection): void {
    const { requests, levels, timeoutMs } = this.#settings;
    lane.isAsking = true;
    requests.ask(
      connection,
      (id) => ({ type: 'history', id, topic, since: null, limit: 1, direction: 'backward' }),
      timeoutMs,
      (answer) => {
        lane.isAsking = false;
        // Unless all was given up meanwhile.
        if (this.#lanes.get(topic) !== lane) return;
        if (!(answer instanceof FanfareError)) levels.learn(topic, true);
        // A node tells whoever may publish that a topic has no history (`noHistory`): that reading is not permitted means that it has one.
        else if (answer instanceof ReplyError && !answer.retryable) levels.learn(topic, answer.code === 'notPermitted');
        else if (answer.code !== 'connectionLost') this.#planRun(topic, lane);
        this.#run(topic, lane);
      },
    );
  }

  #settle(posting: Posting, answer: Answer): void {
    if (posting.isSettled) return;
    posting.isSettled = true;
    clearTimeout(posting.timer);
    this.#unsettled.delete(posting);
    this.#land(posting);
    if (posting.id !== null) this.#settings.requests.delete(posting.id);
    posting.settle(answer);
    this.#tellIfQuiet();
  }

  #count(posting: Posting, sign: 1 | -1): void {
    this.#waiting += sign;
    this.#waitingBytes += sign * (posting.outgoing?.bytes ?? 0);
  }

  #tellIfQuiet(): void {
    if (this.#flying.size > 0 || this.#onQuiet === null) return;
    const onQuiet = this.#onQuiet;
    this.#onQuiet = null;
    clearTimeout(this.#quietTimer);
    onQuiet();
  }

  #tellIfEmpty(): void {
    if (this.#waiting > 0) return;
    for (const resolve of this.#onEmpty.splice(0)) resolve();
  }
}

/** Whether it is more than room that its postings wait for. */
function isFailing({ scout, timer, isAsking }: Lane): boolean {
  return scout !== null || timer !== undefined || isAsking;
}

function stopTimer(lane: Lane): void {
  clearTimeout(lane.timer);
  lane.timer = undefined;
}

/** That this attempt was refused says nothing about those before it. */
function withDoubt(error: ReplyError, { doubt }: Posting): ReplyError {
  if (doubt === undefined) return error;
  return new ReplyError(error.code as ReplyErrorCode, error.message, error.retryable, true);
}
