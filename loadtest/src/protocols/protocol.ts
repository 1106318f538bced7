/** How one kind of server is talked to: what a client sends, and where the publications are in what it gets. */

/** Takes one publication: its stamp stands at `bytes[stampAt]`. */
export type OnPublication = (bytes: Uint8Array, stampAt: number) => void;

/** What a message of the server says besides publications. */
export interface Events {
  /** It has accepted the connection. */
  greeted(): void;
  /** It has made or ended so many subscriptions. */
  confirmed(subscriptions: number): void;
  /** It has taken in so many publications. */
  acknowledged(publications: number): void;
  /** It wants this back: an answer to its ping, for example. */
  reply(message: Uint8Array): void;
  /** It has refused something, in its own words. */
  refused(reason: string): void;
}

/** Reads one message, or, over TCP, what has come. It stands in `bytes[start, end)`, only until this returns. */
export type Reader = (bytes: Uint8Array, start: number, end: number) => void;

/** A publication ready to be sent, but for its stamp, which stands at `stampAt`. */
export interface PublicationTemplate {
  readonly message: Uint8Array;
  readonly stampAt: number;
}

export type Role = 'subscriber' | 'publisher';

/** Over TCP there are no WebSocket frames: messages are written one behind the other. */
export type Transport = 'websocket' | 'tcp';

export interface Protocol {
  transport(role: Role): Transport;
  /** Whether WebSocket messages are binary; else text. */
  readonly isBinary: boolean;
  /** The WebSocket subprotocol to offer; null: none. */
  readonly subprotocol: string | null;
  /** Where a subscriber of these topics, or a publisher to them, connects. */
  path(role: Role, topics: readonly string[]): string;
  /** What is sent once the transport stands; the server then greets. Null: being connected is enough. */
  hello(token: string | null): Uint8Array | null;
  /** Messages that subscribe; the server confirms each topic. Null: being connected there is being subscribed. */
  subscribe(topics: readonly string[]): readonly Uint8Array[] | null;
  /** Messages that end subscriptions; the server confirms each topic. Null: it cannot be done. */
  unsubscribe(topics: readonly string[]): readonly Uint8Array[] | null;
  /** The publication, with data of so many bytes, that no answer is expected to. */
  publication(topic: string, publicationBytes: number): PublicationTemplate;
  /** A reader for one connection. */
  reader(onPublication: OnPublication, events: Events): Reader;
}
