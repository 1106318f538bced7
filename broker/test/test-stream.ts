/** An event stream, read as a browser's EventSource reads it, without reconnecting. Node checks the chunk framing. */
import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { Inbox, until, within } from './wait.js';

interface StreamEvent {
  readonly name: string;
  readonly data: string;
  /** The id of the event, or of an earlier one. */
  readonly id: string;
}

interface Ended {
  /** Whether the body was complete. */
  readonly isClean: boolean;
}

export class TestStream implements AsyncDisposable {
  readonly #request: ClientRequest;
  readonly response: IncomingMessage;
  /** Events that have arrived and were not taken. */
  readonly inbox = new Inbox<StreamEvent>();
  readonly ended: Promise<Ended>;
  lastId = '';
  /** The last `retry` field, in milliseconds. */
  retryMs: number | null = null;
  comments = 0;
  #rest = '';
  #name = '';
  #data: string[] = [];

  private constructor(request: ClientRequest, response: IncomingMessage) {
    this.#request = request;
    this.response = response;
    request.on('error', () => undefined);
    response.setEncoding('utf8');
    response.on('data', (text: string) => this.#take(text));
    response.on('error', () => undefined);
    this.ended = new Promise((resolve) => response.on('close', () => resolve({ isClean: response.complete })));
  }

  /** Resolves when the head of the answer has arrived. `path`: with the query. */
  static async open(port: number, path: string, headers: Readonly<Record<string, string>> = {}): Promise<TestStream> {
    const asked = request({ port, host: '127.0.0.1', path, headers: { Accept: 'text/event-stream', ...headers } });
    asked.end();
    const [response] = (await within('the answer begins', once(asked, 'response'))) as [IncomingMessage];
    return new TestStream(asked, response);
  }

  get status(): number {
    return this.response.statusCode ?? 0;
  }

  /** The next event of a name; `message` is a publication. */
  next(name = 'message'): Promise<StreamEvent> {
    return this.inbox.take(`an event ${name}`, (event) => event.name === name);
  }

  /** The data of the next messages, as JSON. */
  async take(count: number): Promise<unknown[]> {
    const taken: unknown[] = [];
    while (taken.length < count) taken.push(JSON.parse((await this.next()).data));
    return taken;
  }

  pause(): void {
    this.response.pause();
  }

  resume(): void {
    this.response.resume();
  }

  /** Resolves when the node has noticed that nobody reads: its counter of pauses rises. */
  async untilPaused(pauses: () => Promise<number>): Promise<void> {
    await until('the node pauses the stream', async () => (await pauses()) > 0);
  }

  close(): void {
    this.#request.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.ended;
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#takeLine(line);
  }

  #takeLine(line: string): void {
    if (line === '') return this.#dispatch();
    if (line.startsWith(':')) {
      this.comments++;
      return;
    }
    const colon = line.indexOf(':');
    const [field, value] = colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')];
    if (field === 'event') this.#name = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === 'id') this.lastId = value;
    else if (field === 'retry') this.retryMs = Number(value);
  }

  #dispatch(): void {
    if (this.#data.length > 0)
      this.inbox.push({ name: this.#name || 'message', data: this.#data.join('\n'), id: this.lastId });
    this.#name = '';
    this.#data = [];
  }
}
