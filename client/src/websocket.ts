/** The part of the WebSocket interface that this client uses. */

/** Declared like a method, so that the event classes of any implementation fit. */
type Handler<Event> = { handle(event: Event): unknown }['handle'] | null;

/** `Uint8Array<ArrayBuffer>` in a form that TypeScript before 5.7 understands. */
export type Bytes = Uint8Array & { readonly buffer: ArrayBuffer };

/** A WebSocket, as browsers define it. */
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

/** A WebSocket class. */
export type WebSocketConstructor = new (url: string, protocols: string) => WebSocketLike;

/** The WebSocket of the platform; null if it has none. */
export function platformWebSocket(): WebSocketConstructor | null {
  return (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket ?? null;
}
