/**
 * Every message of protocol version 1. Commands go from client to node, replies answer a command by its `id`, pushes go
 * from node to client without a command. PROTOCOL.md section 4 explains each message.
 */
import type { ReplyErrorCode } from './errors.js';
import type { KeyedPayload } from './payload.js';
import type { Position } from './position.js';
import type { Run } from './run.js';
import type { Topic } from './topic.js';

/**
 * Chosen by the client, unique among its unanswered commands: an integer from 1 to {@link maxCommandId}. If a command
 * has no id (null), the node carries it out without an answer, unless it is wrong.
 */
export type CommandId = number | null;
export const maxCommandId = 4_294_967_295;

/** Longest `messageId` of a publication, in bytes of printable ASCII without spaces. */
export const maxMessageIdBytes = 64;

const messageIdGrammar = /* @__PURE__ */ new RegExp(`^[\\x21-\\x7e]{1,${maxMessageIdBytes}}$`);

/** Whether the text can be a `messageId`. */
export function isMessageId(text: string): boolean {
  return messageIdGrammar.test(text);
}

/** Longest `key` of a publication, in bytes of printable ASCII without spaces. */
export const maxKeyBytes = 64;

const keyGrammar = /* @__PURE__ */ new RegExp(`^[\\x21-\\x7e]{1,${maxKeyBytes}}$`);

/** Whether the text can be a `key`. */
export function isKey(text: string): boolean {
  return keyGrammar.test(text);
}

/** Longest `token`, in bytes of UTF-8. */
export const maxTokenBytes = 8_192;

const utf8 = /* @__PURE__ */ new TextEncoder();

/** Whether the text can be a `token`. */
export function isToken(text: string): boolean {
  return text.length <= maxTokenBytes && utf8.encode(text).length <= maxTokenBytes;
}

/**
 * Deepest nesting of arrays and objects in `data`, in JSON and on the way from MessagePack to JSON; `[[1]]` nests 2
 * deep.
 */
export const maxDataDepth = 128;

/** First element of each MessagePack message; the name is the `type` of the JSON message. */
export const commandTypes = {
  connect: 1,
  subscribe: 2,
  unsubscribe: 3,
  publish: 4,
  history: 5,
  refresh: 7,
  ping: 8,
} as const;
export const replyTypes = {
  connected: 32,
  subscribed: 33,
  unsubscribed: 34,
  published: 35,
  history: 36,
  refreshed: 38,
  pong: 39,
  error: 40,
} as const;
export const pushTypes = { publications: 64, gap: 65, reset: 66, goaway: 69 } as const;

export interface Connect {
  readonly type: 'connect';
  readonly id: CommandId;
  readonly token: string | null;
}

export interface Subscribe {
  readonly type: 'subscribe';
  readonly id: CommandId;
  readonly topic: Topic;
  /**
   * The last position that the subscriber has seen. It also wants the publications after that position. Null: from now
   * on.
   */
  readonly since: Position | null;
}

export interface Unsubscribe {
  readonly type: 'unsubscribe';
  readonly id: CommandId;
  readonly topic: Topic;
}

/** A publish as a node reads it: the payload stays in the frame, so a `Publish` is itself the {@link KeyedPayload}. */
export interface Publish extends KeyedPayload {
  readonly type: 'publish';
  readonly id: CommandId;
  readonly topic: Topic;
  /**
   * Identifies a publication that is sent again, if the topic keeps history; at most {@link maxMessageIdBytes} bytes.
   */
  readonly messageId: string | null;
  /**
   * True if it may have been published before. On a topic without history, the node cannot recognize the repetition,
   * and refuses it.
   */
  readonly repeat: boolean;
}

export interface Ping {
  readonly type: 'ping';
  readonly id: CommandId;
}

/**
 * The direction in which `history` reads from `since`. In both directions, the answer has publications in ascending
 * order.
 */
export const historyDirections = ['forward', 'backward'] as const;
export type HistoryDirection = (typeof historyDirections)[number];

/** The maximum number of publications that one `history` can request. */
export const maxHistoryLimit = 1_000;

/** The approximate maximum bytes of publications in a reply (PROTOCOL.md section 7). A longer history is divided. */
export const maxReplyBytes = 262_144;

export interface History {
  readonly type: 'history';
  readonly id: CommandId;
  readonly topic: Topic;
  /** Where to read on from, itself not included. Null: forward from the oldest there is, backward from the newest. */
  readonly since: Position | null;
  /** Maximum number of publications in the answer, 1 to {@link maxHistoryLimit}. Null: as many as the node gives. */
  readonly limit: number | null;
  /** Null: forward. */
  readonly direction: HistoryDirection | null;
}

/** Replaces the token of the connection before it expires. */
export interface Refresh {
  readonly type: 'refresh';
  readonly id: CommandId;
  readonly token: string;
}

/** A command as a node receives it. */
export type Command = Connect | Subscribe | Unsubscribe | Publish | History | Refresh | Ping;

/** A publish as a client writes it: `data` is any value that the codec can carry. */
export interface OutgoingPublish {
  readonly type: 'publish';
  readonly id: CommandId;
  readonly topic: string;
  readonly data: unknown;
  readonly messageId: string | null;
  /** See {@link Publish}; only with a `messageId`. */
  readonly repeat?: boolean;
  /** At most {@link maxKeyBytes} bytes. The node checks it. */
  readonly key?: string | null | undefined;
  /** Only with a `key`. */
  readonly remove?: boolean | undefined;
}

/** A command as a client sends it. The node checks the topic. */
export type OutgoingCommand =
  | Connect
  | (Omit<Subscribe, 'topic'> & { readonly topic: string })
  | (Omit<Unsubscribe, 'topic'> & { readonly topic: string })
  | OutgoingPublish
  | (Omit<History, 'topic'> & { readonly topic: string })
  | Refresh
  | Ping;

export interface Connected {
  readonly type: 'connected';
  readonly id: CommandId;
  /** Name of the node, for logs. */
  readonly node: string;
  /** The client sends `ping` when it has heard nothing for this long, in milliseconds. */
  readonly pingIntervalMs: number;
  /** Longest frame that the node accepts, in bytes. */
  readonly maxFrameBytes: number;
  /** Remaining validity of the token, in milliseconds; null if it does not expire or none is required. */
  readonly expiresInMs: number | null;
}

export interface Subscribed {
  readonly type: 'subscribed';
  readonly id: CommandId;
  readonly topic: string;
  /** The topic's newest position; null if it keeps no history. */
  readonly position: Position | null;
  /** Whether `publications` has all publications after `since`. */
  readonly recovered: boolean;
  readonly publications: readonly Item[];
}

/** The subscription has ended: because the client asked for it, or, with a `code`, because the node ended it. */
export interface Unsubscribed {
  readonly type: 'unsubscribed';
  readonly id: CommandId;
  readonly topic: string;
  /** Why the node ended the subscription; null in the reply to `unsubscribe`. */
  readonly code: ReplyErrorCode | null;
  /** The same in a sentence; null as `code` is. */
  readonly message: string | null;
}

export interface Published {
  readonly type: 'published';
  readonly id: CommandId;
  /** The publication's position; null if the topic keeps no history. */
  readonly position: Position | null;
}

export interface HistoryReply {
  readonly type: 'history';
  readonly id: CommandId;
  readonly topic: string;
  /** The position of the topic's newest publication. */
  readonly position: Position;
  /** Whether nothing is missing between `since` and `publications`. */
  readonly recovered: boolean;
  /** Offset of the first of `publications`; null if it is empty. */
  readonly first: number | null;
  readonly publications: readonly Item[];
}

export interface Refreshed {
  readonly type: 'refreshed';
  readonly id: CommandId;
  /** See {@link Connected}. */
  readonly expiresInMs: number | null;
}

export interface Pong {
  readonly type: 'pong';
  readonly id: CommandId;
}

export interface ErrorReply {
  readonly type: 'error';
  /** The id of the command that failed. Null if it had no id, or if the id could not be read. */
  readonly id: CommandId;
  readonly code: ReplyErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  /** When the same command can be sent again, in milliseconds from now; null if the node does not know. */
  readonly retryAfterMs: number | null;
}

export type Reply = Connected | Subscribed | Unsubscribed | Published | HistoryReply | Refreshed | Pong | ErrorReply;

/** One or more publications of a topic, in order. `position`: of the first one; null if the topic keeps no history. */
export interface Publications {
  readonly type: 'publications';
  readonly topic: string;
  readonly position: Position | null;
  readonly items: readonly Item[];
}

/** Between the publications before this push and those after it, some may be lost. */
export interface Gap {
  readonly type: 'gap';
  readonly topic: string;
  /** The publications after this push follow this position. Null if the topic keeps no history. */
  readonly position: Position | null;
}

/** The topic has a new history. Positions before this push and after it cannot be compared. */
export interface Reset {
  readonly type: 'reset';
  readonly topic: string;
  /** The publications after this push follow this position, in the new epoch. */
  readonly position: Position;
}

/**
 * The node is about to stop, or has too many connections: open a second connection, move the subscriptions there, and
 * close this one.
 */
export interface Goaway {
  readonly type: 'goaway';
  /**
   * How long to wait before that, in milliseconds: each connection has a different delay, so that not all move at once.
   */
  readonly delayMs: number;
}

/** A push that belongs to a topic. */
export type TopicPush = Publications | Gap | Reset;

export type Push = TopicPush | Goaway;

/** A reply as a node writes it: recovered publications are still in the stored form, as a run. */
export type OutgoingReply =
  | Exclude<Reply, Subscribed | Published | HistoryReply>
  | (Published & {
      /** Whether the topic had the messageId already. Only answers to HTTP requests say so. */
      readonly isDuplicate?: boolean;
    })
  | (Omit<Subscribed, 'publications'> & { readonly publications: Run })
  | (Omit<HistoryReply, 'publications'> & {
      readonly publications: Run;
      /**
       * Which of the publications stay if they are too long: the first ones (`forward`, also if absent) or the last
       * ones.
       */
      readonly direction?: HistoryDirection;
    });

/** A message as a client receives it. */
export type ServerMessage = Reply | Push;

/** A publication in a push or a reply: its data, or the reason why this subscriber cannot get the data; and its key. */
export type Item = ({ readonly data: unknown } | { readonly error: 'undecodable' }) & {
  /** Absent or null if the publication has no key. */
  readonly key?: string | null;
  /** Whether it removes what was published with the key. */
  readonly remove?: boolean | null;
};
