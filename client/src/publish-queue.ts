/**
 * Publications until they are settled. They are sent at once if there is a connection, few are unanswered and the pace
 * allows it. Otherwise they wait, up to a limit. A publication that fails temporarily is sent again, and later ones to
 * its topic wait for it.
 */
import type { ClientCodec, OutgoingPublish, ReplyErrorCode } from '@fanfare/protocol';
import { Condition } from './condition.js';
import type { Connection } from './connection.js';
import type { DebugLog } from './debug-log.js';
import { ConnectionError, DataError, FanfareError, ReplyError, timedOut } from './errors.js';
import { outgoing } from './frames.js';
import type { Levels } from './levels.js';
import type { Limits } from './options.js';
import type { Pacer } from './pacer.js';
import { Posting } from './posting.js';
import type { Answer, Requests } from './requests.js';
import { type TopicQueue, TopicQueues } from './topic-queues.js';

interface PublishQueueSettings extends Limits {
  readonly codec: ClientCodec;
  readonly requests: Requests;
  readonly levels: Levels;
  readonly pacer: Pacer;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
  readonly debug: DebugLog;
  /** Why there is no connection; null if there is one. */
  readonly trouble: () => FanfareError | null;
}

/** Upper limits of the random delay before a refused publication is sent again: the first one, and the highest one. */
export const retryBaseDelayMs = 50;
export const retryMaxDelayMs = 1_000;

/**
 * A node recognizes a `messageId` for 120 s after it first saw it. After this time a publication is not repeated if it
 * may have been published. The difference leaves time for the network.
 */
export const repeatWindowMs = 100_000;

/** One in this many publications of `send()` asks for an answer, so that the pacer knows the progress of the node. */
const sendsToAnswer = 8;

/** Creates the error of a failed publication. */
type Failure = (posting: Posting) => FanfareError;

export class PublishQueue {
  /** Nothing waits any more. */
  readonly empty = new Condition(() => this.#queues.size === 0);
  readonly #settings: PublishQueueSettings;
  /** The connection for publications. `connected` has arrived on it. */
  #connection: Connection | null = null;
  /** True while publications wait for the move to another connection. */
  #isPaused = false;
  readonly #queues = new TopicQueues();
  /** All publications that a caller waits for. */
  readonly #unsettled = new Set<Posting>();
  /** Those that were sent and are unanswered. */
  readonly #unanswered = new Set<Posting>();
  #unansweredBytes = 0;
  #isRunPlanned = false;
  /** Until the pace allows the next one. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The last refusal because of the rate. */
  #limited: ReplyError | undefined;
  #sends = 0;
  /** Publications of `send()` since the last one that asks for an answer. */
  #unprovenSends = 0;
  #lastOrder = 0;
  /** Longest frame that the last node accepts; null if unknown. */
  #maxFrameBytes: number | null = null;
  #onQuiet: (() => void) | null = null;
  #quietTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(settings: PublishQueueSettings) {
    this.#settings = settings;
  }

  /** Shortest timeout of all unsettled publications; infinite if there are none. */
  get patienceMs(): number {
    let patienceMs = Number.POSITIVE_INFINITY;
    for (const { timeoutMs } of this.#unsettled) patienceMs = Math.min(patienceMs, timeoutMs);
    return patienceMs;
  }

  /** Sends publications on this connection, beginning with the waiting ones. */
  resume(connection: Connection): void {
    this.#use(connection);
    this.#maxFrameBytes = connection.frames.maxFrameBytes;
    this.#queues.stopTimers();
    this.#run();
  }

  /** Publications wait, because they will be sent on another connection. */
  pause(): void {
    this.#isPaused = true;
  }

  /** Calls back when everything sent is answered, or after `timeoutMs`. Unanswered publications are then sent again. */
  whenQuiet(timeoutMs: number, onQuiet: () => void): void {
    this.#onQuiet = onQuiet;
    this.#quietTimer = setTimeout(onQuiet, timeoutMs);
    this.#notifyIfQuiet();
  }

  /** Cancels {@link pause}: publications stay on their connection. */
  stay(): void {
    if (this.#isPaused && this.#connection !== null) this.resume(this.#connection);
  }

  /** The connection is gone. */
  lost(connection: Connection): void {
    if (this.#connection === connection) this.#use(null);
  }

  /** Begins a publication and its timeout. Its data follows with {@link post}. `settle` is called once, later. */
  open(topic: string, timeoutMs: number, settle: (answer: Answer) => void): Posting {
    const posting = new Posting(topic, timeoutMs, settle, this.#onAnswer);
    posting.id = this.#settings.requests.add(posting);
    this.#unsettled.add(posting);
    posting.timer = setTimeout(() => {
      const trouble = this.#settings.trouble();
      this.fail(posting, () => timedOut(timeoutMs, this.#refusalOf(posting), trouble, posting.maybeDelivered));
    }, timeoutMs);
    return posting;
  }

  /** Sends it or lets it wait. Does nothing if it is settled. Throws `invalidData`, `frameTooLarge` or `queueFull`. */
  post(posting: Posting, command: OutgoingPublish): void {
    if (posting.isSettled) return;
    const encoded = outgoing(this.#encode(command));
    const error = this.#tooLarge(encoded.bytes) ?? this.#full(posting.topic, encoded.bytes);
    if (error !== null) throw error;
    posting.outgoing = encoded;
    posting.order = ++this.#lastOrder;
    const isHeld = this.#isPaused || this.#queues.of(posting.topic) !== undefined || !this.#hasRoom(encoded.bytes);
    if (this.#connection !== null && !isHeld) return this.#send(posting, this.#connection);
    this.#queues.add(posting);
  }

  /** Like {@link post}, but without an answer. `onRefused` is called if the publication could not be sent. */
  send(command: OutgoingPublish, onRefused: (error: FanfareError) => void): void {
    const settle = (answer: Answer): void => {
      // A lost connection is not reported for publications of send().
      if (answer instanceof FanfareError && !(answer instanceof ConnectionError)) onRefused(answer);
    };
    const { requests } = this.#settings;
    const posting = new Posting(command.topic, Number.POSITIVE_INFINITY, settle, this.#onAnswer);
    posting.isSend = true;
    this.#sends = (this.#sends + 1) % sendsToAnswer;
    if (this.#sends === 0) posting.id = requests.add(posting);
    try {
      this.post(posting, { ...command, id: posting.id });
    } catch (error) {
      if (posting.id !== null) requests.delete(posting.id);
      throw error;
    }
  }

  /** The node has refused a publication of `send()` with `rateLimited`. */
  onSendLimited(error: ReplyError): void {
    this.#settings.pacer.refusedUnasked(error.retryAfterMs);
    this.#limited = error;
  }

  /** Fails a publication, and removes its command if it was not sent. */
  fail(posting: Posting, why: Failure): void {
    const { topic, connection, outgoing } = posting;
    const error = why(posting);
    if (outgoing !== null) connection?.frames.remove(outgoing);
    this.#queues.remove(posting);
    const queue = this.#queues.of(topic);
    if (queue?.probe === posting) queue.probe = null;
    this.#settle(posting, error);
    this.#queues.forgetEmpty(topic);
    this.#run();
  }

  /** Fails all publications, drops those without a caller, and forgets the node. */
  failAll(why: Failure): void {
    this.#use(null);
    this.#maxFrameBytes = null;
    this.#queues.clear();
    clearTimeout(this.#timer);
    for (const posting of this.#unsettled) this.fail(posting, why);
    this.empty.check();
  }

  /** Why it is not published yet. If it waits because of the pace, that is the refusal of another publication. */
  #refusalOf({ refusal, outgoing, connection }: Posting): FanfareError | undefined {
    if (refusal !== undefined || outgoing === null || connection !== null) return refusal;
    return this.#connection !== null && this.#settings.pacer.isSlow ? this.#limited : undefined;
  }

  #use(connection: Connection | null): void {
    this.#connection = connection;
    this.#isPaused = false;
    this.#onQuiet = null;
    clearTimeout(this.#quietTimer);
    this.#forgetSends();
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
    const message = `The publication has ${bytes} bytes, but a frame may have at most ${this.#maxFrameBytes}.`;
    return new FanfareError('frameTooLarge', { message });
  }

  #full(topic: string, bytes: number): FanfareError | null {
    const { maxUnsentBytes, maxQueuedPublications, maxQueuedBytes } = this.#settings;
    const connection = this.#connection;
    const total = this.#queues.bytes + bytes;
    // Publications that wait for the pace will be sent. Those that wait for a connection or behind a failure may not
    // be.
    const isStuck = !this.#isPaused && this.#queues.of(topic)?.setback === 'failure';
    const isFull =
      connection === null || isStuck
        ? this.#queues.size >= maxQueuedPublications || total > maxQueuedBytes
        : connection.unsentBytes + total > maxUnsentBytes;
    return isFull ? new FanfareError('queueFull') : null;
  }

  #send(posting: Posting, connection: Connection): void {
    const { id, doubt } = posting;
    if (posting.outgoing !== null && doubt !== undefined && !posting.isRepeat) {
      posting.outgoing = outgoing(this.#settings.codec.repeat(posting.outgoing.encoded));
      posting.isRepeat = true;
    }
    const { outgoing: command } = posting;
    if (command === null) return;
    const error = this.#tooLarge(command.bytes);
    if (error !== null) return this.#settle(posting, doubt ?? error);
    command.isSent = false;
    this.#settings.pacer.sent();
    if (id === null) this.#unprovenSends++;
    else {
      posting.connection = connection;
      posting.weight = 1 + this.#unprovenSends;
      this.#unprovenSends = 0;
      if (doubt === undefined) posting.sentAt = performance.now();
      this.#unanswered.add(posting);
      this.#unansweredBytes += command.bytes;
    }
    this.#settings.debug.sent({ type: 'publish', id, topic: posting.topic });
    connection.post(command);
  }

  #hasRoom(bytes: number): boolean {
    if (this.#unansweredBytes > 0 && this.#unansweredBytes + bytes > this.#settings.maxInFlightBytes) return false;
    const { pacer } = this.#settings;
    // No answer will confirm these publications of send().
    if (this.#unanswered.size === 0) this.#forgetSends();
    const { delayMs } = pacer;
    if (delayMs <= 0) return true;
    // An infinite delay ends with an answer.
    if (Number.isFinite(delayMs)) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#run(), delayMs);
    }
    return false;
  }

  #forgetSends(): void {
    this.#settings.pacer.forget(this.#unprovenSends);
    this.#unprovenSends = 0;
  }

  /**
   * The publication got its answer, or will not get one (null). Waiting publications are sent when there is room for a
   * full frame, not one by one.
   */
  #endAttempt(posting: Posting, answer: Answer | null): void {
    if (!this.#unanswered.delete(posting)) return;
    const { pacer, maxInFlightBytes } = this.#settings;
    const { weight } = posting;
    this.#unansweredBytes -= posting.outgoing?.bytes ?? 0;
    if (answer === null || (answer instanceof FanfareError && !(answer instanceof ReplyError))) pacer.forget(weight);
    else if (answer instanceof ReplyError && answer.code === 'rateLimited') {
      pacer.answered(weight - 1);
      pacer.refused(answer.retryAfterMs);
      this.#limited = answer;
    } else pacer.answered(weight);
    const wantsMore = pacer.wantsMore && this.#unansweredBytes <= maxInFlightBytes / 2;
    if (this.#queues.size === 0 || this.#isRunPlanned || !wantsMore) return;
    this.#isRunPlanned = true;
    queueMicrotask(() => {
      this.#isRunPlanned = false;
      this.#run();
    });
  }

  readonly #onAnswer = (posting: Posting, answer: Answer): void => {
    const { topic } = posting;
    const queue = this.#queues.of(topic);
    const isProbe = queue?.probe === posting;
    if (isProbe) queue.probe = null;
    this.#endAttempt(posting, answer);
    posting.connection = null;
    const isFailed = answer instanceof FanfareError;
    if (isFailed) this.#retry(posting, answer);
    else {
      if (answer.type === 'published') this.#settings.levels.learn(topic, answer.position !== null);
      if (isProbe) {
        queue.setback = 'none';
        queue.failures = 0;
      }
      this.#settle(posting, answer);
    }
    this.#queues.forgetEmpty(topic);
    // Room for one more is no reason to send: see #endAttempt.
    if (isProbe || isFailed) this.#run();
    this.#notifyIfQuiet();
  };

  #retry(posting: Posting, refusal: FanfareError): void {
    const { levels } = this.#settings;
    const { topic } = posting;
    const isRefused = refusal instanceof ReplyError;
    if (refusal.maybeDelivered) posting.doubt = refusal;
    if (posting.isRepeat && refusal.code === 'noHistory') levels.learn(topic, false);
    if (posting.doubt !== undefined && levels.hasHistory(topic) === false) return this.#settle(posting, posting.doubt);
    if (posting.isSend) return this.#settle(posting, refusal);
    if (isRefused && !refusal.retryable) return this.#settle(posting, withDoubt(refusal, posting));
    posting.refusal = refusal;
    const queue = this.#queues.add(posting);
    // After `rateLimited` the pacer decides when to send again.
    if (refusal.code === 'rateLimited') {
      if (queue.setback === 'none') queue.setback = 'rate';
      return;
    }
    queue.setback = 'failure';
    // After a lost connection the publication waits for the next one.
    if (isRefused && queue.probe === null) this.#planRun(queue);
  }

  #planRun(queue: TopicQueue): void {
    if (queue.timer !== undefined) return;
    const most = Math.min(retryMaxDelayMs, retryBaseDelayMs * 2 ** queue.failures);
    queue.failures++;
    queue.timer = setTimeout(() => {
      queue.timer = undefined;
      this.#run();
    }, this.#settings.random() * most);
  }

  /** Sends waiting publications, one of each topic in turn. */
  #run(): void {
    const connection = this.#connection;
    if (connection !== null && !this.#isPaused) {
      for (const [topic, queue] of this.#queues) {
        const [posting] = queue.postings;
        if (queue.timer !== undefined || queue.probe !== null || posting === undefined) continue;
        if (!this.#hasRoom(posting.outgoing?.bytes ?? 0)) break;
        this.#queues.remove(posting);
        if (this.#isOverdue(posting)) this.#settle(posting, posting.doubt as FanfareError);
        else {
          this.#send(posting, connection);
          if (queue.setback !== 'none' && this.#unanswered.has(posting)) queue.probe = posting;
        }
        this.#queues.turn(topic);
      }
    }
    this.empty.check();
  }

  /** True if it may have been published and the broker can no longer recognize a repetition. */
  #isOverdue({ topic, doubt, sentAt }: Posting): boolean {
    if (doubt === undefined) return false;
    return this.#settings.levels.hasHistory(topic) === false || performance.now() - sentAt > repeatWindowMs;
  }

  #settle(posting: Posting, answer: Answer): void {
    if (posting.isSettled) return;
    posting.isSettled = true;
    clearTimeout(posting.timer);
    this.#unsettled.delete(posting);
    this.#endAttempt(posting, null);
    if (posting.id !== null) this.#settings.requests.delete(posting.id);
    posting.settle(answer);
    this.#notifyIfQuiet();
  }

  #notifyIfQuiet(): void {
    if (this.#unanswered.size > 0 || this.#onQuiet === null) return;
    const onQuiet = this.#onQuiet;
    this.#onQuiet = null;
    clearTimeout(this.#quietTimer);
    onQuiet();
  }
}

/** A refusal of this attempt does not show that earlier attempts failed. */
function withDoubt(error: ReplyError, { doubt }: Posting): ReplyError {
  if (doubt === undefined) return error;
  return new ReplyError(error.code as ReplyErrorCode, error.message, error.retryable, null, true);
}
