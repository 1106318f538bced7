/** `fanfare publish`: one publication, or one for each line of standard input. */
import { untilStopped } from '@fanfare/kit/stop-signal';
import { isKey, maxKeyBytes, positionText } from '@fanfare/protocol';
import type { Command } from 'commander';
import {
  addBrokerOptions,
  type BrokerClient,
  type BrokerOptions,
  brokerOf,
  connect,
  sentenceOf,
  untilSignal,
} from '../broker.js';
import { declare } from '../command.js';
import { Failure, UsageFailure } from '../failure.js';
import { parseData, readInput, readLines } from '../input.js';
import { counted, jsonText, note, Progress, writeLine } from '../output.js';

interface Options extends BrokerOptions {
  readonly text?: true;
  readonly key?: string;
  readonly remove?: true;
  readonly ndjson?: true;
  readonly json?: true;
}

/** Publications that wait for an answer. The client accepts 1,000. */
const maxWaiting = 500;

export function publishCommand(): Command {
  const command = declare('publish', 'Publish to a topic. Prints the position of the publication.', [
    { command: `fanfare publish chat.lobby '{"text":"hello"}'`, about: 'one publication; the data is JSON' },
    { command: 'fanfare publish chat.lobby --text hello', about: 'the data is the text "hello"' },
    { command: 'date | fanfare publish clock --text -', about: 'the data is the text of standard input' },
    { command: `fanfare publish orders --key 42 '{"state":"paid"}'`, about: 'the publication is about "42"' },
    { command: 'fanfare publish orders --ndjson < orders.ndjson', about: 'each line is the data of one publication' },
    {
      command: `echo '{"topic":"a","data":1}' | fanfare publish --ndjson`,
      about: 'each line has the topic and the data of one publication',
    },
  ])
    .argument('[topic]', 'the topic; with --ndjson it may be missing')
    .argument('[data]', 'the data, as JSON; - reads it from standard input')
    .option('--text', 'the data is a text, not JSON')
    .option('--key <key>', 'what the publication is about')
    .option('--remove', 'the publication removes what was published with its key')
    .option('--ndjson', 'each line of standard input is one publication')
    .option('--json', 'print {"topic","epoch","offset"} for each publication');
  return addBrokerOptions(command).action(publish);
}

async function publish(topic: string | undefined, data: string | undefined, options: Options): Promise<void> {
  const broker = brokerOf(options);
  checkKey(options);
  if (options.ndjson) {
    if (data !== undefined) throw new UsageFailure('With --ndjson, the data comes from standard input only.');
  } else if (topic === undefined) throw new UsageFailure('Name the topic. See fanfare publish --help.');
  else if (data === undefined) {
    throw new UsageFailure('Give the data as JSON, or - to read it from standard input. See fanfare publish --help.');
  }
  const items = options.ndjson ? linesOf(topic, options) : singleItem(topic ?? '', data ?? '', options);
  // Wrong input is reported before anything connects.
  const first = await items.next();
  if (first.done) return note('Standard input is empty: nothing was published.');
  const client = connect(broker);
  const outcome = new Outcome(options);
  const work = async (): Promise<void> => {
    for (let item: IteratorResult<Item> = first; !item.done && outcome.error === null; item = await items.next()) {
      const { value } = item;
      await outcome.add(value, client.publish(value.topic, value.data, value.options));
    }
  };
  try {
    // Both ends must be awaited: what was sent has an outcome, whatever happened to the input.
    await Promise.race([work().finally(() => outcome.settled()), untilSignal(untilStopped(), 'Stopped.')]);
  } catch (error) {
    outcome.error ??= error as Error;
  } finally {
    await client.close();
  }
  outcome.report();
}

function checkKey({ key, remove, ndjson }: Options): void {
  if (ndjson && (key ?? remove) !== undefined) {
    throw new UsageFailure('With --ndjson, give "key" and "remove" in each line, next to "topic" and "data".');
  }
  if (key !== undefined && !isKey(key)) {
    throw new UsageFailure(`--key must be 1 to ${maxKeyBytes} characters of printable ASCII without spaces.`);
  }
  if (remove && key === undefined) throw new UsageFailure('--remove needs --key.');
}

/** One publication, with the place of its text in the input. */
interface Item {
  readonly topic: string;
  readonly data: unknown;
  readonly options: { readonly key?: string | undefined; readonly remove?: boolean | undefined };
  readonly place: string;
}

async function* singleItem(topic: string, given: string, { text, key, remove }: Options): AsyncGenerator<Item> {
  const content = given === '-' ? await readInput() : given;
  // A command such as `date` ends its output with a line break, which nobody means.
  const data = text ? content.replace(/\r?\n$/, '') : parseData(content, 'The data');
  yield { topic, data, options: { key, remove }, place: '' };
}

async function* linesOf(topic: string | undefined, { text }: Options): AsyncGenerator<Item> {
  for await (const [number, line] of readLines()) {
    const place = `line ${number}`;
    if (topic !== undefined) yield { topic, data: text ? line : parseData(line, `Line ${number}`), options: {}, place };
    else yield { ...readItem(parseData(line, `Line ${number}`), place), place };
  }
}

function readItem(value: unknown, place: string): Pick<Item, 'topic' | 'data' | 'options'> {
  const fields = (typeof value === 'object' && value !== null ? value : {}) as Partial<Item & Item['options']>;
  const { topic, data, key, remove, ...others } = fields;
  if (typeof topic !== 'string' || data === undefined) {
    throw new UsageFailure(
      `On ${place}: without a topic in the command, each line must be an object such as {"topic":"a","data":1}.`,
    );
  }
  const [unknown] = Object.keys(others);
  if (unknown === undefined) return { topic, data, options: { key, remove } };
  throw new UsageFailure(
    `On ${place}: unknown field "${unknown}". A line has topic, data, key and remove. To choose the messageId, use POST /v1/publications.`,
  );
}

/** Counts what became of the publications, and prints their positions. */
class Outcome {
  error: Error | null = null;
  #failed = 0;
  #accepted = 0;
  readonly #progress = new Progress();
  readonly #waiting = new Set<Promise<void>>();
  /** Lines are printed in the order of the publications. */
  #printed = Promise.resolve();

  constructor(private readonly options: Options) {}

  /** Resolves when there is room for another one. */
  async add(item: Item, published: ReturnType<BrokerClient['publish']>): Promise<void> {
    const before = this.#printed;
    const settled = published.then(
      async ({ position }) => {
        this.#accepted++;
        this.#progress.show(() => `${counted(this.#accepted, 'publication')} accepted`);
        await before;
        if (this.options.json) await writeLine(jsonText({ topic: item.topic, ...position }));
        else if (!this.options.ndjson) await writeLine(positionText(position));
      },
      (error: unknown) => {
        this.#failed++;
        const { maybeDelivered } = error as { readonly maybeDelivered?: boolean };
        const fate = maybeDelivered ? ' This or an earlier attempt may have reached subscribers.' : '';
        this.error ??= new Failure(`${item.place === '' ? '' : `On ${item.place}: `}${sentenceOf(error)}${fate}`);
      },
    );
    this.#printed = settled;
    this.#waiting.add(settled);
    void settled.finally(() => this.#waiting.delete(settled));
    while (this.#waiting.size >= maxWaiting) await Promise.race(this.#waiting);
  }

  /** Resolves when each publication has its outcome. */
  async settled(): Promise<void> {
    await Promise.all(this.#waiting);
  }

  /** Throws the first error. */
  report(): void {
    this.#progress.end();
    if (this.options.ndjson) {
      const failed = this.#failed === 0 ? '' : `, ${this.#failed.toLocaleString('en')} failed`;
      note(`${counted(this.#accepted, 'publication')} accepted${failed}.`);
    }
    if (this.error !== null) throw this.error;
  }
}
