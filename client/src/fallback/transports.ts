/** The ways to a node, and which of them has worked last. */
import { invalidOption } from '../errors.js';

/** In the default order: the first one is the best. */
export const allTransports = ['webSocket', 'serverSentEvents', 'longPolling'] as const;

/** A way to exchange messages with a node. */
export type Transport = (typeof allTransports)[number];

/** Throws `invalidOption` if the value is not a list of different transports. */
export function transportsOf(value: unknown = allTransports): readonly Transport[] {
  const isKnown = (name: unknown): boolean => (allTransports as readonly unknown[]).includes(name);
  if (Array.isArray(value) && value.length > 0 && new Set(value).size === value.length && value.every(isKnown)) {
    return value;
  }
  throw invalidOption(`transports must be a list of one or more of ${allTransports.join(', ')}, each once.`);
}

/** How long a client begins with the transport that has worked, in milliseconds. After it, the default order applies. */
export const rememberMs = 600_000;

export class Winner {
  #transport: Transport | null = null;
  #untilMs = 0;

  /** The transport that has worked within the last {@link rememberMs}; null if there is none. */
  get transport(): Transport | null {
    return performance.now() < this.#untilMs ? this.#transport : null;
  }

  remember(transport: Transport): void {
    this.#transport = transport;
    this.#untilMs = performance.now() + rememberMs;
  }
}
