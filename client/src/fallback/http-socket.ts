/**
 * A socket without a WebSocket: commands are HTTP requests, and publications arrive on event streams or long polls. To
 * the client it looks like a WebSocket of a node that speaks `fanfare.v1.json`, but its messages are objects:
 * {@link httpClientCodec} reads both.
 */
import { type ClientCodec, closeCodes, jsonClientCodec, jsonMessage, type Position } from '@fanfare/protocol';
import { pingId } from '../command-ids.js';
import type { ReconnectPolicy } from '../reconnect.js';
import type { WebSocketLike } from '../websocket.js';
import { type Command, CommandQueue, type Message } from './command-queue.js';
import { EventChannel } from './event-channel.js';
import { apiOf, isAboutToken, type Problem } from './http.js';

interface HttpSettings extends ReconnectPolicy {
  readonly isPolling: boolean;
  /** How long the first bytes of an event stream may take, in milliseconds. */
  readonly silenceMs: number;
  /** Event streams do not get through, although requests do. */
  readonly onMute: () => void;
}

/** Fields of the `error` event. */
export interface HttpFailure {
  readonly message: string;
  /** Time that the node asks to wait, in milliseconds; undefined if an open connection was lost. */
  readonly retryAfterMs: number | undefined;
  /** Whether a node has answered, so that another transport would get the same answer. */
  readonly isAnswer: boolean;
}

const [connecting, open, closed] = [0, 1, 3];

/** The maximum number of event streams. Browsers open six HTTP/1.1 connections to a host, for all tabs together. */
const maxChannels = 4;

/** The close code of each error about the token. */
const closeCodeOf: { readonly [code: string]: number } = {
  tokenExpired: closeCodes.tokenExpired,
  unauthenticated: closeCodes.unauthenticated,
  invalidToken: closeCodes.unauthenticated,
  notPermitted: closeCodes.unauthenticated,
};

const unsendable: Problem = {
  code: 'invalidToken',
  message: 'The token has characters that cannot be in a header: check what getToken returns.',
  retryable: false,
  retryAfterMs: null,
  topic: null,
};

interface Subscribe extends Command {
  readonly topic: string;
  readonly since?: Position;
}

/** The codec of a client that gets the frames of a WebSocket, or the messages of an {@link HttpSocket}. */
export const httpClientCodec: ClientCodec = {
  ...jsonClientCodec,
  decode(frame: string | ArrayBuffer | Message) {
    // Not a string, an ArrayBuffer or a Blob.
    const isMessage = Object.getPrototypeOf(frame) === Object.prototype;
    return isMessage ? jsonMessage(frame as Message) : jsonClientCodec.decode(frame as string | ArrayBuffer);
  },
};

export class HttpSocket implements WebSocketLike {
  binaryType = 'arraybuffer';
  readonly protocol: string;
  readyState = connecting;
  onopen: WebSocketLike['onopen'] = null;
  onmessage: WebSocketLike['onmessage'] = null;
  onerror: WebSocketLike['onerror'] = null;
  onclose: WebSocketLike['onclose'] = null;
  readonly #settings: HttpSettings;
  readonly #api: string;
  readonly #commands: CommandQueue;
  #channels: EventChannel[] = [];
  /** Subscriptions that wait for the reply to `connect`; null after that. */
  #early: Subscribe[] | null = [];
  /** The reply to `connect`, until an event stream has begun. */
  #connected: Message | null = null;
  /** Whether an event stream has begun. */
  #isStreaming = false;
  /** The token of the last `refresh`. */
  #nextToken: string | null = null;
  /** The id of a ping that the next event stream answers. */
  #ping: number | null = null;

  constructor(url: string, protocol: string, settings: HttpSettings) {
    this.protocol = protocol;
    this.#settings = settings;
    this.#api = apiOf(url);
    this.#commands = new CommandQueue(this.#api, {
      onReply: (reply) => this.#onReply(reply),
      onRefused: (problem, commands) => this.#onRefused(problem, commands),
      onFailed: (reason) => this.#fail(reason),
    });
    queueMicrotask(() => {
      if (this.readyState !== connecting) return;
      this.readyState = open;
      this.onopen?.({});
    });
  }

  get bufferedAmount(): number {
    return this.#commands.bytes;
  }

  send(data: string | Uint8Array): void {
    if (this.readyState !== open) return;
    const frame = JSON.parse(String(data)) as Command | readonly Command[];
    for (const command of Array.isArray(frame) ? frame : [frame]) this.#carryOut(command);
  }

  close(code = 1_000, reason = ''): void {
    if (this.readyState === closed) return;
    this.#stop();
    queueMicrotask(() => this.onclose?.({ code, reason }));
  }

  #carryOut(command: Command): void {
    switch (command.type) {
      case 'connect':
        if (!isToken(command.token)) return this.#onRefused(unsendable, [command]);
        this.#commands.token = command.token ?? null;
        return this.#commands.add(command);
      case 'refresh':
        if (!isToken(command.token)) return this.#refuse(command, unsendable.code, unsendable.message);
        this.#nextToken = command.token ?? null;
        return this.#commands.add({ ...command, type: 'connect' });
      case 'subscribe':
        return this.#subscribe(command as Subscribe);
      case 'unsubscribe':
        return this.#unsubscribe(command as Subscribe);
      case 'ping':
        if (command.id === pingId && this.#channels.length > 0) return this.#probe(command.id);
    }
    this.#commands.add(command);
  }

  #subscribe(command: Subscribe): void {
    if (this.#early !== null) return void this.#early.push(command);
    const { topic, since = null, id } = command;
    if (this.#channels.some((channel) => channel.has(topic))) {
      return this.#refuse(command, 'alreadySubscribed', `This connection is already subscribed to ${topic}.`);
    }
    let channel = this.#channels.find((each) => each.hasRoom(topic));
    if (channel === undefined) {
      const sentence = `Without a WebSocket, topics of ${maxChannels} event streams are the most: subscribe to fewer.`;
      if (this.#channels.length === maxChannels) return this.#refuse(command, 'tooManySubscriptions', sentence);
      channel = this.#newChannel();
      this.#channels.push(channel);
    }
    channel.add(topic, since, id);
  }

  #unsubscribe(command: Subscribe): void {
    const { topic, id } = command;
    const early = this.#early?.find((each) => each.topic === topic);
    const channel = this.#channels.find((each) => each.has(topic));
    const joining = early ?? channel?.remove(topic);
    if (early === undefined && channel === undefined) {
      return this.#refuse(command, 'notSubscribed', `This connection is not subscribed to ${topic}.`);
    }
    if (joining) {
      const sentence = `This connection unsubscribed from ${topic} before the reply.`;
      this.#refuse(joining, 'notSubscribed', sentence);
    }
    this.#early = this.#early?.filter((each) => each !== early) ?? null;
    this.#channels = this.#channels.filter((each) => !each.isEmpty);
    this.#emit({ type: 'unsubscribed', id, topic });
  }

  #refuse({ id }: { readonly id?: number | undefined }, code: string, message: string): void {
    this.#emit({ type: 'error', id, code, message, retryable: false });
  }

  /** The client has heard nothing for a while, or the network has changed: a new stream shows whether a node answers. */
  #probe(id: number): void {
    this.#ping = id;
    for (const channel of this.#channels) channel.check();
  }

  #newChannel(): EventChannel {
    return new EventChannel(
      { ...this.#settings, api: this.#api, token: () => this.#commands.token },
      {
        onMessage: (message) => this.#emit(message),
        onAnswer: () => this.#onAnswer(),
        // The type is unknown to the client, which only notes that something has arrived.
        onAlive: () => this.#connected ?? this.#emit({ type: 'heartbeat' }),
        onRefused: (problem) => this.#onStreamRefused(problem),
        onFailed: (reason, isMute) => {
          if (isMute && !this.#isStreaming) this.#settings.onMute();
          this.#fail(reason);
        },
      },
    );
  }

  #onReply(reply: Message): void {
    if (reply.type !== 'connected') return this.#emit(reply);
    if (this.#early === null) {
      this.#commands.token = this.#nextToken;
      for (const channel of this.#channels) channel.open();
      return this.#emit({ type: 'refreshed', id: reply['id'], expiresInMs: reply['expiresInMs'] });
    }
    this.#commands.maxBodyBytes = reply['maxFrameBytes'] as number;
    const early = this.#early;
    this.#early = null;
    for (const command of early) this.#subscribe(command);
    // A proxy may let requests through and hold back streams. Then this transport does not work.
    if (this.#channels.length > 0) this.#connected = reply;
    else this.#emit(reply);
  }

  /** An event stream has begun, or a node has refused it. */
  #onAnswer(): void {
    this.#isStreaming = true;
    const [connected, ping] = [this.#connected, this.#ping];
    this.#connected = null;
    this.#ping = null;
    if (connected !== null) this.#emit(connected);
    if (ping !== null) this.#emit({ type: 'pong', id: ping });
  }

  #onRefused(problem: Problem, commands: readonly Command[]): void {
    const { code, message, retryable, retryAfterMs } = problem;
    const [{ type, id } = { type: '' }] = commands;
    const closeCode = closeCodeOf[code];
    const isFirst = this.#early !== null && type === 'connect';
    if (isFirst && closeCode === undefined) return this.#fail(message, retryAfterMs ?? 0, retryable);
    if (isFirst) {
      this.#emit({ type: 'error', id, code, message, retryable });
      return this.#end(closeCode as number, message);
    }
    if (type !== 'connect' && isAboutToken(code)) return this.#onTokenRefused(problem);
    for (const each of commands) this.#emit({ type: 'error', id: each.id, code, message, retryable, retryAfterMs });
  }

  #onStreamRefused(problem: Problem): void {
    if (isAboutToken(problem.code)) return this.#onTokenRefused(problem);
    this.#fail(problem.message, problem.retryAfterMs ?? 0, problem.retryable);
  }

  /** A token that was valid is no longer valid. */
  #onTokenRefused({ code, message }: Problem): void {
    this.#end(code === 'tokenExpired' ? closeCodes.tokenExpired : closeCodes.revoked, message);
  }

  /** `retryAfterMs`: absent if nobody has given a time. */
  #fail(message: string, retryAfterMs?: number, isAnswer = false): void {
    const isNew = this.#early !== null || this.#connected !== null;
    const failure: HttpFailure = { message, retryAfterMs: retryAfterMs ?? (isNew ? 0 : undefined), isAnswer };
    this.onerror?.(failure);
    this.#end(1_006, '');
  }

  #end(code: number, reason: string): void {
    if (this.readyState === closed) return;
    this.#stop();
    this.onclose?.({ code, reason });
  }

  #stop(): void {
    this.readyState = closed;
    this.#commands.close();
    for (const channel of this.#channels) channel.close();
    this.#channels = [];
  }

  #emit(message: Message): void {
    if (this.readyState === open) this.onmessage?.({ data: message });
  }
}

/** Whether it can be in `Authorization: Bearer` (RFC 6750 section 2.1). */
function isToken(token: string | undefined): boolean {
  return token === undefined || /^[\w.~+/-]+=*$/.test(token);
}
