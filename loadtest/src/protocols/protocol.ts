/**
 * What a client says to one kind of server: its messages, and the position of publications in received data. Subscribers
 * and publishers may speak differently.
 */
import type { Target } from '@fanfare/kit/broker-url';

/** Takes one publication, with its stamp at `bytes[stampAt]`. */
export type OnPublication = (bytes: Uint8Array, stampAt: number) => void;

/** Messages of the server other than publications. */
export interface Events {
  /** The server has accepted the connection. */
  greeted(): void;
  /** The server has started or ended this many subscriptions. */
  confirmed(subscriptions: number): void;
  /** The server has accepted this many publications. */
  acknowledged(publications: number): void;
  /** The server expects this message in reply, for example to its ping. */
  reply(message: Uint8Array): void;
  /** The server has refused something, for this reason. */
  refused(reason: string): void;
}

/**
 * Reads one message, or, over TCP, the bytes that arrived. They are in `bytes[start, end)`, and only until this
 * returns.
 */
export type Reader = (bytes: Uint8Array, start: number, end: number) => void;

/**
 * A publication that is ready except for its stamp, at `stampAt`, and for the same stamp as its messageId if it has
 * one.
 */
export interface PublicationTemplate {
  readonly message: Uint8Array;
  readonly stampAt: number;
  readonly messageIdAt?: number;
}

/** Over TCP there are no WebSocket frames: messages are written one behind the other. */
export type Transport = 'websocket' | 'tcp';

/** Where a connection goes, and which topics it has: none if it only publishes. */
export interface Place {
  readonly target: Target;
  readonly topics: readonly string[];
}

/** How the two kinds of clients of a server speak. */
export interface Protocols {
  readonly subscriber: Protocol;
  readonly publisher: Protocol;
}

export interface Protocol {
  readonly transport: Transport;
  /** Whether WebSocket messages are binary; else text. */
  readonly isBinary: boolean;
  /** The WebSocket subprotocol to offer; null: none. */
  readonly subprotocol: string | null;
  /** The path of the WebSocket of a subscriber of these topics, or of a publisher. */
  path(topics: readonly string[]): string;
  /** Sent once the transport is connected; the server then greets. Null: no greeting is needed. */
  hello(place: Place): Uint8Array | null;
  /** Whether the server does not answer `hello`. */
  readonly isUnanswered?: true;
  /** Messages that subscribe; the server confirms each topic. Null: the connection itself is the subscription. */
  subscribe(topics: readonly string[]): readonly Uint8Array[] | null;
  /** Messages that end subscriptions; the server confirms each topic. Null: it cannot be done. */
  unsubscribe(topics: readonly string[]): readonly Uint8Array[] | null;
  /** Whether each publication is answered. */
  readonly isAcknowledged?: true;
  /** Whether publications that are sent together share a frame. */
  readonly isJoined?: true;
  /** The message that carries these publications. Default: they are the message. */
  wrap?(publications: Uint8Array, target: Target): Uint8Array;
  /** Whether a publisher waits for the answer to a message before it sends the next one. `acknowledged` counts messages. */
  readonly isInTurn?: true;
  /** A publication with this many bytes of data. */
  publication(topic: string, publicationBytes: number, target: Target): PublicationTemplate;
  /** A reader for one connection. */
  reader(onPublication: OnPublication, events: Events, place: Place): Reader;
}
