/** `history()` calls of the application: sent when there is a connection, and again if it breaks. */
import { type HistoryDirection, type HistoryReply, maxHistoryLimit, type Position } from '@fanfare/protocol';
import type { Connection } from './connection.js';
import { moved } from './cursor.js';
import { FanfareError, invalidOption, timedOut } from './errors.js';
import { refuseUnknown } from './options.js';
import { checkSince } from './position.js';
import { assertTopic } from './publisher.js';
import type { Question, Reads } from './reads.js';
import type { Answer } from './requests.js';
import { type Check, checkItem, type SchemaTable } from './schemas.js';
import { type Publication, publicationOf } from './subscription.js';

/** Options of `history()`. */
export interface HistoryOptions {
  /**
   * Position to read from; not included. Null means no position. @default before the oldest publication; backward,
   * after the newest
   */
  readonly since?: Position | null | undefined;
  /** Maximum number of publications in the result, from 1 to 1000. @default 100 */
  readonly limit?: number | undefined;
  /** Read after `since` (`forward`) or before it (`backward`). The result is always oldest first. @default 'forward' */
  readonly direction?: HistoryDirection | undefined;
}

/** A part of a topic's history. */
export interface HistoryOf<Item extends Publication> {
  /** Position of the topic's newest publication. */
  readonly position: Position;
  /** True if nothing is missing between `since` and the first of the publications; false without `since`. */
  readonly recovered: boolean;
  /**
   * Publications, oldest first. A publication that cannot be decoded or does not match its schema is left out and
   * causes an `error` event of the client.
   */
  readonly publications: readonly Item[];
}

interface HistoriesSettings {
  readonly reads: Reads;
  readonly schemas: SchemaTable | null;
  readonly timeoutMs: number;
  readonly report: (error: FanfareError) => void;
  /** The newest open connection; null if there is none. */
  readonly connection: () => Connection | null;
  /** Why there is no connection; null if there is one. */
  readonly trouble: () => FanfareError | null;
}

interface Read {
  readonly question: Question;
  /** True while it waits for its turn or an answer. False while it waits for a connection. */
  isAsking: boolean;
  readonly settle: (answer: Answer) => void;
}

const directions: readonly unknown[] = ['forward', 'backward', undefined] satisfies HistoryOptions['direction'][];

/** Throws `invalidOption`. A node would refuse invalid options as malformed, with all later commands of the frame. */
function questionOf(topic: string, options: HistoryOptions): Question {
  refuseUnknown('history()', options, ['since', 'limit', 'direction']);
  const since = checkSince(options.since);
  const { limit, direction } = options;
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1 && limit <= maxHistoryLimit)) {
    throw invalidOption(`limit must be an integer from 1 to ${maxHistoryLimit}, not ${limit}.`);
  }
  if (!directions.includes(direction)) {
    throw invalidOption(`direction must be 'forward' or 'backward', not ${String(direction)}.`);
  }
  return { topic, since, limit: limit ?? null, direction: direction ?? null };
}

export class Histories {
  readonly #settings: HistoriesSettings;
  readonly #reads = new Set<Read>();

  constructor(settings: HistoriesSettings) {
    this.#settings = settings;
  }

  /** Shortest time that a read waits for a connection; infinite if there are no reads. */
  get patienceMs(): number {
    return this.#reads.size > 0 ? this.#settings.timeoutMs : Number.POSITIVE_INFINITY;
  }

  async read(topic: string, options: HistoryOptions = {}): Promise<HistoryOf<Publication>> {
    assertTopic(topic);
    const question = questionOf(topic, options);
    const check = this.#settings.schemas?.checkOf(topic) ?? null;
    return this.#open(topic, check, await this.#fetch(question));
  }

  /** Sends the reads that wait for a connection. */
  askAll(): void {
    if (this.#settings.connection() === null) return;
    for (const read of this.#reads) if (!read.isAsking) this.#ask(read);
  }

  failAll(error: FanfareError): void {
    for (const read of this.#reads) read.settle(error);
  }

  #fetch(question: Question): Promise<HistoryReply> {
    const { timeoutMs, trouble } = this.#settings;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => settle(timedOut(timeoutMs, undefined, trouble())), timeoutMs);
      const settle = (answer: Answer): void => {
        clearTimeout(timer);
        this.#reads.delete(read);
        if (answer instanceof FanfareError) reject(answer);
        else resolve(answer as HistoryReply);
      };
      const read: Read = { question, isAsking: false, settle };
      this.#reads.add(read);
      this.askAll();
    });
  }

  #ask(read: Read): void {
    read.isAsking = true;
    const { reads, connection } = this.#settings;
    reads.ask(
      connection,
      () => (this.#reads.has(read) ? read.question : null),
      (answer) => {
        read.isAsking = false;
        // After a lost connection the read waits for the next one.
        const isOver = answer !== null && !(answer instanceof FanfareError && answer.code === 'connectionLost');
        if (isOver) read.settle(answer);
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
      else publications.push(publicationOf(topic, checked.data, at, item));
      at = moved(at, 1);
    }
    return { position, recovered, publications };
  }
}
