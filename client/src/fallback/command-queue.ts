/** Commands on their way to `POST /v1/commands`: one request at a time, so that they are carried out in order. */
import { messageIds } from '../message-id.js';
import { foreign, headersOf, type Problem, problemIn, reasonOf } from './http.js';

/** A command as the client has written it. */
export interface Command {
  readonly type: string;
  readonly id?: number;
  readonly topic?: string;
  readonly token?: string;
  readonly messageId?: string;
}

/** A message of a node, or of this socket in its place. */
export interface Message {
  readonly type: string;
  readonly [field: string]: unknown;
}

interface CommandListener {
  /** The answer to a command. */
  onReply(reply: Message): void;
  /** A node has refused the whole request. */
  onRefused(problem: Problem, commands: readonly Command[]): void;
  /** The request has failed, or something else than a node has answered. It may have been carried out. */
  onFailed(reason: string): void;
}

/** How long a node may take for one request, in milliseconds. */
const requestTimeoutMs = 20_000;

/** The maximum number of commands in a request. */
const maxCommands = 1_000;

const utf8 = new TextEncoder();

interface Entry {
  readonly command: Command;
  readonly text: string;
  readonly bytes: number;
}

export class CommandQueue {
  /** Longest body that the node accepts, in bytes. */
  maxBodyBytes = 1_024;
  /** Null if the application has none. */
  token: string | null = null;
  readonly #url: string;
  readonly #listener: CommandListener;
  readonly #newMessageId = messageIds();
  #waiting: Entry[] = [];
  #bytes = 0;
  /** The request that is on its way. */
  #current: AbortController | null = null;
  #isRunning = false;
  #isClosed = false;

  constructor(api: string, listener: CommandListener) {
    this.#url = `${api}commands`;
    this.#listener = listener;
  }

  /** Bytes of the commands that wait or are on their way. */
  get bytes(): number {
    return this.#bytes;
  }

  add(command: Command): void {
    // Browsers send a POST again if a kept-alive connection breaks. By this id, a node recognizes the repetition.
    const { type, topic = '', messageId = type === 'publish' ? this.#newMessageId(topic) : undefined } = command;
    // The token is in the header.
    const text = JSON.stringify({ ...command, token: undefined, messageId });
    const bytes = utf8.encode(text).length;
    this.#waiting.push({ command, text, bytes });
    this.#bytes += bytes;
    if (this.#isRunning) return;
    this.#isRunning = true;
    // The commands of one turn of the event loop travel together.
    queueMicrotask(() => this.#run());
  }

  /** Drops all commands. Nothing is called after this. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
    this.#bytes = 0;
    this.#current?.abort();
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#next();
      // Behind other commands a ping need not be sent: their answer shows that they were carried out.
      const others = batch.filter(({ command }) => command.type !== 'ping');
      const answered = others.length === 0 ? [] : batch.filter((entry) => !others.includes(entry));
      await this.#send(others.length === 0 ? batch : others);
      for (const { bytes } of batch) this.#bytes -= bytes;
      for (const { command } of answered) if (!this.#isClosed) this.#listener.onReply({ type: 'pong', id: command.id });
    }
    this.#isRunning = false;
  }

  /** As many waiting commands as fit into one request, at least one. A command with a token has its own request. */
  #next(): Entry[] {
    let count = 0;
    let bodyBytes = 1;
    for (const { command, bytes } of this.#waiting) {
      bodyBytes += bytes + 1;
      const isAlone = command.type === 'connect';
      if (count > 0 && (isAlone || bodyBytes > this.maxBodyBytes || count === maxCommands)) break;
      count++;
      if (isAlone) break;
    }
    return this.#waiting.splice(0, count);
  }

  async #send(batch: readonly Entry[]): Promise<void> {
    const commands = batch.map(({ command }) => command);
    const texts = batch.map(({ text }) => text);
    const [first] = commands;
    const token = first?.type === 'connect' ? (first.token ?? null) : this.token;
    const request = new AbortController();
    this.#current = request;
    const timer = setTimeout(() => request.abort(), requestTimeoutMs);
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: { ...headersOf(token), 'Content-Type': 'application/json' },
        body: texts.length === 1 ? texts[0] : `[${texts.join(',')}]`,
        signal: request.signal,
        cache: 'no-store',
      } as RequestInit);
      const problem = await problemIn(response);
      const replies = problem === null && response.ok ? await repliesIn(response) : null;
      if (this.#isClosed) return;
      if (problem !== null) {
        if (problem.retryable) this.#refuseBehind(commands);
        this.#listener.onRefused(problem, commands);
      } else if (replies === null) this.#listener.onFailed(foreign(response));
      else for (const reply of replies) this.#onReply(reply, commands);
    } catch (error) {
      const late = `The node did not answer a request within ${requestTimeoutMs} ms.`;
      if (!this.#isClosed) this.#listener.onFailed(request.signal.aborted ? late : reasonOf(error));
    } finally {
      clearTimeout(timer);
    }
  }

  #onReply(reply: Message, commands: readonly Command[]): void {
    if (reply.type === 'error' && reply['retryable'] === true) {
      this.#refuseBehind(commands.filter(({ id }) => id === reply['id']));
    }
    if (!this.#isClosed) this.#listener.onReply(reply);
  }

  /**
   * Refuses publications to the topics of the refused ones, unless they are sent: they would overtake the refused ones,
   * which the client sends again. On a WebSocket the node does this (PROTOCOL.md 4.5).
   */
  #refuseBehind(commands: readonly Command[]): void {
    const isAwaited = ({ type, id }: Command): boolean => type === 'publish' && id !== undefined;
    const topics = new Set(commands.filter(isAwaited).map(({ topic }) => topic));
    const isBehind = ({ command: { type, topic, messageId } }: Entry): boolean =>
      type === 'publish' && topics.has(topic) && messageId !== undefined;
    const refused = this.#waiting.filter(isBehind);
    this.#waiting = this.#waiting.filter((entry) => !isBehind(entry));
    for (const { command, bytes } of refused) {
      this.#bytes -= bytes;
      const message = 'An earlier publication to the topic was refused and comes first.';
      this.#listener.onReply({ type: 'error', id: command.id, code: 'unavailable', message, retryable: true });
    }
  }
}

/** Null if the response is not from a node. */
async function repliesIn(response: Response): Promise<readonly Message[] | null> {
  const replies: unknown = await response.json().catch(() => null);
  return Array.isArray(replies) ? replies : null;
}
