/** The WebSocket of the platform, as far as this client uses it. */

/** Declared as methods are, so that any implementation's event classes fit. */
type Handler<Event> = { handle(event: Event): unknown }['handle'] | null;

/** `Uint8Array<ArrayBuffer>`, as TypeScript below 5.7 can read it too. */
export type Bytes = Uint8Array & { readonly buffer: ArrayBuffer };

export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly protocol: string;
  readonly readyState: number;
  onopen: Handler<unknown>;
  onmessage: Handler<{ readonly data: unknown }>;
  onerror: Handler<unknown>;
  onclose: Handler<{ readonly code: number; readonly reason: string }>;
  send(data: string | Bytes): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketConstructor = new (url: string, protocols: string) => WebSocketLike;

/** The platform's own, or null where it has none. */
export function platformWebSocket(): WebSocketConstructor | null {
  return (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket ?? null;
}
