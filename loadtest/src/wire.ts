/** How one kind of server is talked to: what a client sends, and where the publications are in what it gets. */

/** Takes one publication: its stamp stands at `bytes[stampAt]`. */
export type PublicationSink = (bytes: Uint8Array, stampAt: number) => void;

/** One WebSocket message of a publisher, and where in it the stamps of its publications go. */
export interface Message {
  readonly payload: Uint8Array;
  readonly stampsAt: readonly number[];
}

export interface Wire {
  readonly isBinary: boolean;
  /** The subprotocol to offer; null: none. */
  readonly subprotocol: string | null;
  subscriberPath(topic: string): string;
  publisherPath(topic: string): string;
  /** What a subscriber sends and waits to see answered; null where being connected is being subscribed. */
  subscribe(topic: string): Uint8Array | null;
  /** `count` publications in one WebSocket message. */
  publish(topic: string, publicationBytes: number, count: number): Message;
  /** Hands on each publication of a message; answers false where it is none, which a subscriber gets only by mistake. */
  forEachPublication(bytes: Uint8Array, start: number, end: number, sink: PublicationSink): boolean;
}

export const wireNames = ['raw', 'msgpack', 'json'] as const;
export type WireName = (typeof wireNames)[number];
