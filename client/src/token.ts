/** Tokens of the application: fetched for each connection, and again before the current token expires. */
import { FanfareError, messageOf } from './errors.js';
import { type GetToken, maxTimerMs } from './options.js';
import { type ReconnectPolicy, reconnectDelayMs } from './reconnect.js';

/**
 * Remaining lifetime at which the client fetches a new token, or a fifth of the token's lifetime if that is less. The
 * actual value is random, up to twice as much, so that clients that connected together do not fetch tokens together.
 */
const leadMs = 30_000;

/** Rejects only with `tokenFailed`. */
export async function askForToken(getToken: GetToken): Promise<string> {
  let token: unknown;
  try {
    // Not synchronously: getToken may use the client, whose constructor may still be running.
    token = await Promise.resolve().then(getToken);
  } catch (cause) {
    throw tokenFailed(`getToken() failed: ${messageOf(cause)}`, cause);
  }
  if (typeof token === 'string') return token;
  throw tokenFailed(`getToken() must return a string, not ${typeof token}.`);
}

function tokenFailed(message: string, cause?: unknown): FanfareError {
  return new FanfareError('tokenFailed', { message, cause });
}

interface RenewalSettings extends ReconnectPolicy {
  readonly getToken: GetToken;
  readonly connectTimeoutMs: number;
}

/** Refreshes the token of one connection. If that fails, it retries until the connection ends. */
export class Renewal {
  readonly #settings: RenewalSettings;
  readonly #send: (token: string) => void;
  readonly #onFailure: (error: FanfareError) => void;
  /** One timer: until the next fetch, then until the node must have accepted the token. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Results of earlier attempts are ignored. */
  #attempt = 0;
  #failures = 0;

  constructor(settings: RenewalSettings, send: (token: string) => void, onFailure: (error: FanfareError) => void) {
    this.#settings = settings;
    this.#send = send;
    this.#onFailure = onFailure;
  }

  /** The node has accepted a token that expires after this time; null if it never expires. */
  taken(expiresInMs: number | null): void {
    this.stop();
    this.#failures = 0;
    if (expiresInMs === null) return;
    const { random, reconnectBaseDelayMs } = this.#settings;
    const delayMs = expiresInMs - Math.min(leadMs, expiresInMs / 5) * (1 + random());
    // If getToken returns the same token until it expires, do not call it in a tight loop.
    this.#wait(performance.now() + Math.max(delayMs, reconnectBaseDelayMs));
  }

  /** The attempt failed: there is no token, or the node refused it. */
  failed(error: FanfareError): void {
    this.stop();
    this.#timer = setTimeout(() => this.#try(), reconnectDelayMs(this.#failures++, this.#settings));
    this.#onFailure(error);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#attempt++;
  }

  #wait(due: number): void {
    const delayMs = due - performance.now();
    this.#timer = setTimeout(
      () => (delayMs > maxTimerMs ? this.#wait(due) : this.#try()),
      Math.min(delayMs, maxTimerMs),
    );
  }

  #try(): void {
    const { getToken, connectTimeoutMs } = this.#settings;
    const attempt = ++this.#attempt;
    this.#timer = setTimeout(
      () =>
        this.failed(
          tokenFailed(`getToken() and the node together took longer than connectTimeoutMs (${connectTimeoutMs} ms).`),
        ),
      connectTimeoutMs,
    );
    askForToken(getToken).then(
      (token) => attempt === this.#attempt && this.#send(token),
      (error: FanfareError) => attempt === this.#attempt && this.failed(error),
    );
  }
}
