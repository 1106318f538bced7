/** Publishing: check the topic and the data, encode, send or queue, and wait for the answer. */
import { isKey, maxKeyBytes, type OutgoingPublish, type Position, parseTopic } from '@fanfare/protocol';
import { Condition } from './condition.js';
import { DataError, FanfareError, invalidOption } from './errors.js';
import { messageIds } from './message-id.js';
import { assertLimit, refuseUnknown } from './options.js';
import type { PublishQueue } from './publish-queue.js';
import type { Checked, SchemaTable } from './schemas.js';

/** Options of `send()`. */
export interface SendOptions {
  /** What the publication is about, such as the id of an order: 1 to 64 printable ASCII characters without spaces. */
  readonly key?: string | undefined;
  /** The publication removes what was published with its `key`. @default false */
  readonly remove?: boolean | undefined;
}

/** Options of `publish()`. */
export interface PublishOptions extends SendOptions {
  /**
   * Time for the publish, in milliseconds, including waiting for a connection or an asynchronous schema, and retries.
   * After it the publish rejects with `timeout`; the `cause` is the last failure.
   * @default the client's `timeoutMs`
   */
  readonly timeoutMs?: number | undefined;
  /** Aborts the publish: it rejects with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** The result of `publish()`. */
export interface Acknowledgement {
  /** Position in the topic's history; null if the topic keeps no history. */
  readonly position: Position | null;
}

interface PublisherSettings {
  readonly queue: PublishQueue;
  readonly schemas: SchemaTable | null;
  readonly timeoutMs: number;
  readonly maxQueuedPublications: number;
  /** Gets errors of publications that no promise reports. */
  readonly report: (error: FanfareError) => void;
}

export class Publisher {
  /** All publications are settled. */
  readonly idle = new Condition(() => this.#unsettled === 0);
  readonly #settings: PublisherSettings;
  readonly #nextMessageId = messageIds();
  /** Publications that are not settled. Counted, not as promises: a handler on one would hide its rejection. */
  #unsettled = 0;
  /** One entry for each publication that waits for a schema, or behind one that does. */
  readonly #unchecked = new Set<object>();
  /** The last of them, by topic. The next publication to the topic waits for it, which keeps the order. */
  readonly #last = new Map<string, Promise<void>>();
  /** The publishes of each signal. */
  readonly #aborts = new WeakMap<AbortSignal, { readonly all: Set<() => void>; listener(): void }>();

  constructor(settings: PublisherSettings) {
    this.#settings = settings;
  }

  publish(topic: string, data: unknown, options: PublishOptions = {}): Promise<Acknowledgement> {
    const { queue } = this.#settings;
    const { timeoutMs = this.#settings.timeoutMs, signal } = options;
    // The executor runs at once, so publishes of one turn share a frame. What it throws rejects the promise.
    return new Promise((resolve, reject) => {
      refuseUnknown('publish()', options, ['timeoutMs', 'signal', 'key', 'remove']);
      assertLimit('timeoutMs', timeoutMs);
      checkKey(options);
      if (signal?.aborted) throw new FanfareError('aborted', { cause: signal.reason });
      this.#unsettled++;
      const posting = queue.open(topic, timeoutMs, (answer) => {
        this.#settled();
        if (signal) this.#ignoreAbort(signal, abort);
        if (answer instanceof FanfareError) reject(answer);
        else resolve({ position: 'position' in answer ? answer.position : null });
      });
      const fail = (error: unknown): void => queue.fail(posting, () => error as FanfareError);
      const abort = (): void =>
        queue.fail(
          posting,
          ({ maybeDelivered }) => new FanfareError('aborted', { cause: signal?.reason, maybeDelivered }),
        );
      if (signal) this.#onAbort(signal, abort);
      try {
        const post = (): void =>
          queue.post(posting, describe(posting.id, topic, data, this.#nextMessageId(topic), options));
        this.#inTurn(topic, data, post)?.catch(fail);
      } catch (error) {
        fail(error);
      }
    });
  }

  /** Throws if the publication cannot be sent. Later failures are reported. */
  send(topic: string, data: unknown, options: SendOptions = {}): void {
    refuseUnknown('send()', options, ['key', 'remove']);
    checkKey(options);
    const { queue, report } = this.#settings;
    const turn = this.#inTurn(topic, data, () => queue.send(describe(null, topic, data, null, options), report));
    if (turn === null) return;
    this.#unsettled++;
    turn.catch(report).finally(() => this.#settled());
  }

  /** Drops publications that wait for a schema. */
  clear(): void {
    this.#unchecked.clear();
    this.#last.clear();
  }

  /**
   * Posts after the schema accepts the data and all earlier publications to the topic are posted. Null if that happened
   * at once. Throws or rejects if the topic or the data is invalid.
   */
  #inTurn(topic: string, data: unknown, post: () => void): Promise<void> | null {
    assertTopic(topic);
    const { schemas, maxQueuedPublications } = this.#settings;
    const check = schemas?.checkOf(topic)(data);
    const before = this.#last.get(topic);
    if (!(check instanceof Promise)) {
      throwIfFailed(check);
      if (before === undefined) {
        post();
        return null;
      }
    }
    if (this.#unchecked.size >= maxQueuedPublications) throw new FanfareError('queueFull');
    const mine = {};
    this.#unchecked.add(mine);
    const take = async (): Promise<void> => {
      const checked = await check;
      await before;
      if (this.#last.get(topic) === last) this.#last.delete(topic);
      // `clear()` may have dropped it.
      if (!this.#unchecked.delete(mine)) return;
      throwIfFailed(checked);
      post();
    };
    const turn = take();
    const last = turn.catch(() => {});
    this.#last.set(topic, last);
    return turn;
  }

  /** One listener per signal, because Node warns of a leak if there are more than ten. */
  #onAbort(signal: AbortSignal, abort: () => void): void {
    const known = this.#aborts.get(signal);
    if (known) {
      known.all.add(abort);
      return;
    }
    const all = new Set([abort]);
    const listener = (): void => {
      for (const each of all) each();
    };
    this.#aborts.set(signal, { all, listener });
    signal.addEventListener('abort', listener);
  }

  /** A signal may outlive the client, and keeps in memory what listens to it. */
  #ignoreAbort(signal: AbortSignal, abort: () => void): void {
    const known = this.#aborts.get(signal);
    known?.all.delete(abort);
    if (known?.all.size !== 0) return;
    signal.removeEventListener('abort', known.listener);
    this.#aborts.delete(signal);
  }

  #settled(): void {
    this.#unsettled--;
    this.idle.check();
  }
}

export function assertTopic(topic: string): void {
  if (parseTopic(topic) !== null) return;
  const message = `${JSON.stringify(topic)} is not a valid topic: use segments of A-Z a-z 0-9 _ - joined by ".", at most 200 characters and 16 segments.`;
  throw new FanfareError('invalidTopic', { message });
}

function throwIfFailed(checked: Checked | undefined): void {
  if (checked !== undefined && 'error' in checked) throw checked.error;
}

/** Throws `invalidOption`. A node would refuse it as malformed, with all later commands of the frame. */
function checkKey({ key, remove = false }: SendOptions): void {
  const hasKey = typeof key === 'string' && isKey(key);
  if (hasKey ? typeof remove === 'boolean' : key === undefined && remove === false) return;
  throw invalidOption(
    `key must be 1 to ${maxKeyBytes} printable ASCII characters without spaces; remove must be a boolean and needs a key.`,
  );
}

function describe(
  id: number | null,
  topic: string,
  data: unknown,
  messageId: string | null,
  { key, remove }: SendOptions,
): OutgoingPublish {
  if (typeof data === 'function' || typeof data === 'symbol') {
    throw new DataError('invalidData', topic, [], {
      message: `Data of type ${typeof data} cannot be sent. Convert it first.`,
    });
  }
  // JSON has no undefined, and a publish command without data is invalid.
  return { type: 'publish', id, topic, data: data === undefined ? null : data, messageId, key, remove };
}
