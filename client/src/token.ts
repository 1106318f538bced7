/** Tokens of the application: asked for at each connection, and in time before the node's patience with one ends. */
import { FanfareError, messageOf } from './errors.js';
import { type GetToken, maxTimerMs } from './options.js';
import { type ReconnectPolicy, reconnectDelayMs } from './reconnect.js';

/**
 * Another token is asked for when this much is left of the first one, or a fifth of its time if that is less; up to twice as much, at
 * random: clients that connected together are not to ask together.
 */
const leadMs = 30_000;

/** Rejects with `tokenFailed`, and nothing else. */
export async function askForToken(getToken: GetToken): Promise<string> {
  let token: unknown;
  try {
    // Not at once: it may use the client, which is being made or has not taken note of this connection.
    token = await Promise.resolve().then(getToken);
  } catch (cause) {
    throw tokenFailed(`getToken() failed: ${messageOf(cause)}`, cause);
  }
  if (typeof token === 'string') return token;
  throw tokenFailed(`getToken() must give a string, not a ${typeof token}.`);
}

function tokenFailed(message: string, cause?: unknown): FanfareError {
  return new FanfareError('tokenFailed', { message, cause });
}

export interface RenewalSettings extends ReconnectPolicy {
  readonly getToken: GetToken;
  readonly connectTimeoutMs: number;
}

/** Of one connection: keeps its token fresh. Where that fails it tries again, until the connection ends. */
export class Renewal {
  readonly #settings: RenewalSettings;
  readonly #send: (token: string) => void;
  readonly #onFailure: (error: FanfareError) => void;
  /** The one timer: until a token is asked for, then until the node must have taken it. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** What an earlier attempt still brings is not looked at. */
  #attempt = 0;
  #failures = 0;

  constructor(settings: RenewalSettings, send: (token: string) => void, onFailure: (error: FanfareError) => void) {
    this.#settings = settings;
    this.#send = send;
    this.#onFailure = onFailure;
  }

  /** The node has taken a token that is good for so long; null: for good. */
  taken(expiresInMs: number | null): void {
    this.stop();
    this.#failures = 0;
    if (expiresInMs === null) return;
    const { random, reconnectBaseDelayMs } = this.#settings;
    const delayMs = expiresInMs - Math.min(leadMs, expiresInMs / 5) * (1 + random());
    // Who gives the same token until it expires is not asked without end.
    this.#wait(performance.now() + Math.max(delayMs, reconnectBaseDelayMs));
  }

  /** The attempt has failed: no token, or one that the node refuses. */
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
      () => this.failed(tokenFailed(`getToken() and the node took longer than ${connectTimeoutMs} ms.`)),
      connectTimeoutMs,
    );
    askForToken(getToken).then(
      (token) => attempt === this.#attempt && this.#send(token),
      (error: FanfareError) => attempt === this.#attempt && this.failed(error),
    );
  }
}
