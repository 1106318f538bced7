/** History that the application asks for: sent once there is a connection, and again where that breaks. */
import { type HistoryDirection, type HistoryReply, maxHistoryLimit, type Position } from '@fanfare/protocol';
import type { Connection } from './connection.js';
import { FanfareError, timedOut } from './errors.js';
import { moved } from './line.js';
import { refuseUnknown } from './options.js';
import { assertTopic } from './publisher.js';
import type { Answer, Requests } from './requests.js';
import { type Check, checkItem, type SchemaTable } from './schemas.js';
import type { Publication } from './subscription.js';

export interface HistoryOptions {
  /** Where to read on from, itself not included. @default the oldest there is; backward, behind the newest */
  readonly since?: Position | undefined;
  /** Most publications to answer with, from 1 to 1000. @default 100 */
  readonly limit?: number | undefined;
  /** Which ones to read; they come in order either way. @default 'forward' */
  readonly direction?: HistoryDirection | undefined;
}

/** A part of a topic's history. */
export interface HistoryOf<Item extends Publication> {
  /** Where the topic stands: the position of its newest publication. */
  readonly position: Position;
  /** Whether nothing is missing between `since` and `publications`; false without `since`. */
  readonly recovered: boolean;
  /**
   * In order. One that cannot be decoded or that its schema refuses is not among them, but an event `error` of the client: the
   * positions of the others show where it was.
   */
  readonly publications: readonly Item[];
}

export interface HistoriesSettings {
  readonly requests: Requests;
  readonly schemas: SchemaTable | null;
  readonly timeoutMs: number;
  readonly report: (error: FanfareError) => void;
  /** The newest connection that is open, or null where there is none. */
  readonly connection: () => Connection | null;
  /** Why there is no connection; null if there is one. */
  readonly trouble: () => FanfareError | null;
}

interface Read {
  readonly topic: string;
  readonly options: HistoryOptions;
  readonly timer: ReturnType<typeof setTimeout>;
  /** Of the command that was sent for it; null while it waits for a connection. */
  id: number | null;
  readonly settle: (answer: Answer) => void;
}

export class Histories {
  readonly #settings: HistoriesSettings;
  readonly #reads = new Set<Read>();

  constructor(settings: HistoriesSettings) {
    this.#settings = settings;
  }

  /** How long the most impatient of them waits for a connection; infinite if there is none. */
  get patienceMs(): number {
    return this.#reads.size > 0 ? this.#settings.timeoutMs : Number.POSITIVE_INFINITY;
  }

  async read(topic: string, options: HistoryOptions = {}): Promise<HistoryOf<Publication>> {
    assertTopic(topic);
    refuseUnknown('history()', options, ['since', 'limit', 'direction']);
    const { limit } = options;
    if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1 && limit <= maxHistoryLimit)) {
      const message = `limit must be an integer from 1 to ${maxHistoryLimit}, not ${limit}.`;
      throw new FanfareError('invalidOption', { message });
    }
    const check = this.#settings.schemas?.checkOf(topic) ?? null;
    return this.#open(topic, check, await this.fetch(topic, options));
  }

  /** The same, as the node has answered. */
  fetch(topic: string, options: HistoryOptions): Promise<HistoryReply> {
    return new Promise((resolve, reject) => {
      const settle = (answer: Answer): void => {
        clearTimeout(read.timer);
        if (read.id !== null) this.#settings.requests.cancel(read.id);
        this.#reads.delete(read);
        if (answer instanceof FanfareError) reject(answer);
        else resolve(answer as HistoryReply);
      };
      const { timeoutMs, trouble } = this.#settings;
      const timer = setTimeout(() => settle(timedOut(timeoutMs, undefined, trouble())), timeoutMs);
      const read: Read = { topic, options, timer, id: null, settle };
      this.#reads.add(read);
      this.sendAll();
    });
  }

  /** Sends what waits for a connection. */
  sendAll(): void {
    const connection = this.#settings.connection();
    if (connection === null) return;
    for (const read of this.#reads) if (read.id === null) this.#send(read, connection);
  }

  failAll(error: FanfareError): void {
    for (const read of this.#reads) read.settle(error);
  }

  #send(read: Read, connection: Connection): void {
    const { requests, timeoutMs } = this.#settings;
    const { topic, options } = read;
    const { since = null, limit = null, direction = null } = options;
    read.id = requests.ask(
      connection,
      (id) => ({ type: 'history', id, topic, since, limit, direction }),
      timeoutMs,
      (answer) => {
        read.id = null;
        if (!(answer instanceof FanfareError && answer.code === 'connectionLost')) read.settle(answer);
      },
    );
  }

  async #open(topic: string, check: Check | null, reply: HistoryReply): Promise<HistoryOf<Publication>> {
    const { position, recovered, first } = reply;
    const publications: Publication[] = [];
    let at = { epoch: position.epoch, offset: first ?? 0 };
    for (const item of reply.publications) {
      const checked = await checkItem(item, topic, check);
      if ('error' in checked) this.#settings.report(checked.error);
      else publications.push({ topic, data: checked.data, position: at });
      at = moved(at, 1);
    }
    return { position, recovered, publications };
  }
}
