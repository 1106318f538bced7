/** Publishing: check the topic and the data, encode, send or queue, and wait for the answer. */
import { type OutgoingCommand, type Position, parseTopic } from '@fanfare/protocol';
import { DataError, FanfareError } from './errors.js';
import { createMessageId } from './message-id.js';
import { maxTimerMs } from './options.js';
import type { Requests } from './requests.js';
import type { Checked, SchemaTable } from './schemas.js';

export interface PublishOptions {
  /**
   * Time that the publish may take, waiting for a connection included, in milliseconds. Beyond it: `timeout`.
   * @default the client's `timeoutMs`
   */
  readonly timeoutMs?: number;
  /** Gives the publish up when aborted: `aborted`. */
  readonly signal?: AbortSignal;
}

export interface Acknowledgement {
  /** Where the publication stands in the topic's history; null where the topic keeps none. */
  readonly position: Position | null;
}

export interface PublisherSettings {
  readonly requests: Requests;
  readonly schemas: SchemaTable | null;
  readonly timeoutMs: number;
  /** Takes errors of publications that nobody waits for. */
  readonly report: (error: FanfareError) => void;
}

export class Publisher {
  readonly #settings: PublisherSettings;
  readonly #unsettled = new Set<Promise<unknown>>();

  constructor(settings: PublisherSettings) {
    this.#settings = settings;
  }

  publish(topic: string, data: unknown, options: PublishOptions = {}): Promise<Acknowledgement> {
    const { timeoutMs = this.#settings.timeoutMs, signal } = options;
    const deadline = performance.now() + timeoutMs;
    return this.#hold(
      // The executor runs at once: publishes of one turn leave together, and what is thrown in it rejects.
      new Promise((resolve, reject) => {
        const start = (): void => {
          if (signal?.aborted) throw new FanfareError('aborted', { cause: signal.reason });
          const remainingMs = Math.min(maxTimerMs, Math.max(0, deadline - performance.now()));
          const messageId = createMessageId();
          const { requests } = this.#settings;
          const id = withDataError(topic, () =>
            requests.send(
              (id) => describe(id, topic, data, messageId),
              remainingMs,
              (answer) => {
                signal?.removeEventListener('abort', abort);
                if (answer instanceof FanfareError) reject(answer);
                else resolve({ position: 'position' in answer ? answer.position : null });
              },
            ),
          );
          const abort = (): void => {
            requests.fail(
              id,
              (maybeDelivered) => new FanfareError('aborted', { cause: signal?.reason, maybeDelivered }),
            );
          };
          signal?.addEventListener('abort', abort);
        };
        const approval = this.#approve(topic, data);
        if (approval === null) start();
        else approval.then(start).catch(reject);
      }),
    );
  }

  /** Throws where the publication cannot be sent. With an asynchronous schema that is known later, and reported. */
  send(topic: string, data: unknown): void {
    const start = (): void =>
      withDataError(topic, () => this.#settings.requests.forget(describe(null, topic, data, null)));
    const approval = this.#approve(topic, data);
    if (approval === null) start();
    else this.#hold(approval.then(start)).catch(this.#settings.report);
  }

  /** Resolves once all that was published so far is settled. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#unsettled);
  }

  /** Null where nothing has to be waited for. Throws or rejects where the topic or the data will not do. */
  #approve(topic: string, data: unknown): Promise<void> | null {
    assertTopic(topic);
    const checked = this.#settings.schemas?.checkOf(topic)(data);
    if (checked instanceof Promise) return checked.then(throwIfFailed);
    if (checked !== undefined) throwIfFailed(checked);
    return null;
  }

  #hold<Outcome>(promise: Promise<Outcome>): Promise<Outcome> {
    this.#unsettled.add(promise);
    const release = (): boolean => this.#unsettled.delete(promise);
    promise.then(release, release);
    return promise;
  }
}

export function assertTopic(topic: string): void {
  if (parseTopic(topic) !== null) return;
  const message = `${JSON.stringify(topic)} is no topic: segments of A-Z a-z 0-9 _ - joined by ".", 200 characters and 16 segments at most.`;
  throw new FanfareError('invalidTopic', { message });
}

function throwIfFailed(checked: Checked): void {
  if ('error' in checked) throw checked.error;
}

function describe(id: number | null, topic: string, data: unknown, messageId: string | null): OutgoingCommand {
  if (typeof data === 'function' || typeof data === 'symbol') throw new TypeError(`A ${typeof data} cannot be sent.`);
  // JSON has no undefined, and a publish without data would not be one.
  return { type: 'publish', id, topic, data: data === undefined ? null : data, messageId };
}

/** What an encoder throws (a loop in the data, a bigint in JSON) is an error of the data. */
function withDataError<Outcome>(topic: string, encode: () => Outcome): Outcome {
  try {
    return encode();
  } catch (cause) {
    if (cause instanceof FanfareError) throw cause;
    const message = `The data for ${topic} cannot be encoded: ${(cause as Error).message}`;
    throw new DataError('invalidData', topic, [], { message, cause });
  }
}
