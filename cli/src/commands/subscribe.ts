/** `fanfare subscribe`: the publications of topics, one line each. */
import type { FanfareError } from '@fanfare/client/json';
import { untilStopped } from '@fanfare/kit/stop-signal';
import { type Position, parsePositionsText, positionText } from '@fanfare/protocol';
import type { Command } from 'commander';
import { addBrokerOptions, type BrokerOptions, brokerOf, connect, parseCount, untilConnected } from '../broker.js';
import { declare } from '../command.js';
import { UsageFailure } from '../failure.js';
import { jsonText, note, writeLine } from '../output.js';

export interface SubscribeOptions extends BrokerOptions {
  readonly since?: string;
  readonly last?: number;
  readonly count?: number;
  readonly json?: true;
}

export interface Received {
  readonly topic: string;
  readonly position: Position | null;
  readonly data: unknown;
  readonly key?: string;
  readonly remove?: true;
}

/** What a command shows of a subscription. */
export interface View {
  /** Resolves when the reader has room for more. */
  publication(received: Received): Promise<void>;
  /** Publications are or may be missing at this place. `sentence`: why. */
  loss(name: 'gap' | 'reset', topic: string, position: Position | null, sentence: string): Promise<void>;
}

export function addSubscribeOptions(command: Command): Command {
  return addBrokerOptions(
    command
      .argument('<topic...>', 'the topics')
      .option('--since <position>', 'begin after this position of the topic, such as 1764563000000000-42')
      .option('--last <n>', 'begin with the newest n publications of the history', parseCount)
      .option('-n, --count <n>', 'end after n publications', parseCount)
      .option('--json', 'print an object for each publication: {"topic","epoch","offset","data"}, and "key", "remove"'),
  );
}

export function subscribeCommand(): Command {
  const command = declare(
    'subscribe',
    'Print the data of each publication of topics, as JSON, until Ctrl+C. Reconnects by itself.',
    [
      { command: 'fanfare subscribe chat.lobby', about: 'everything from now on' },
      { command: 'fanfare subscribe chat.lobby --last 10', about: 'the newest ten first' },
      {
        command: 'fanfare subscribe orders --json --since 1764563000000000-42',
        about: 'everything after this position, with positions',
      },
      { command: 'fanfare subscribe orders -n 1 --timeout 60', about: 'wait for one publication' },
    ],
  );
  return addSubscribeOptions(command).action((topics: readonly string[], options: SubscribeOptions) =>
    follow(topics, options, new Lines(topics.length > 1, options.json === true)),
  );
}

/** Subscribes until a signal, or until `--count` publications have arrived. */
export async function follow(topics: readonly string[], options: SubscribeOptions, view: View): Promise<void> {
  const positions = startOf(topics, options);
  const broker = brokerOf(options);
  const stopped = untilStopped();
  const client = connect(broker);
  let left = options.count ?? Number.POSITIVE_INFINITY;
  const subscriptions = topics.map((topic, index) => {
    const since = positions?.[index];
    const last = options.last;
    return client.subscribe(topic, {
      ...(since === undefined || since === null ? {} : { since }),
      ...(last === undefined ? {} : { last }),
    });
  });
  const end = (): void => {
    for (const subscription of subscriptions) subscription.unsubscribe();
  };
  // Of all topics together, in order.
  let shown = Promise.resolve();
  const show = (line: () => Promise<void>): Promise<void> => {
    shown = shown.then(line);
    return shown;
  };
  const outage = new Outage(topics);
  const read = async (subscription: (typeof subscriptions)[number]): Promise<void> => {
    const { topic } = subscription;
    subscription.on('gap', ({ reason, position }) => {
      void show(() => view.loss('gap', topic, position, gapSentences[reason]));
    });
    subscription.on('reset', ({ position }) => {
      void show(() =>
        view.loss('reset', topic, position, 'The topic has a new history. Earlier positions are invalid.'),
      );
    });
    subscription.on('error', (error) => {
      if (subscription.state.name === 'subscribing') outage.refused(topic, error);
      else if (subscription.state.name === 'subscribed') note(`fanfare: ${topic}: ${error.message}`);
    });
    subscription.on('subscribed', () => outage.subscribed(topic));
    for await (const received of subscription) {
      if (left <= 0) return;
      left--;
      await show(() => view.publication(received));
      if (left <= 0) end();
    }
  };
  try {
    const reading = Promise.all(subscriptions.map(read));
    // The race below handles it.
    reading.catch(() => undefined);
    await Promise.race([untilConnected(client, broker), reading, stopped]);
    await Promise.race([reading, stopped]);
    end();
    await shown;
  } finally {
    await client.close();
  }
}

/** The time in which the node refuses subscriptions, and the client tries again: notes its begin and its end only. */
class Outage {
  readonly #waiting = new Set<string>();
  readonly #noted = new Set<string>();

  constructor(private readonly topics: readonly string[]) {}

  refused(topic: string, { code, message }: FanfareError): void {
    this.#waiting.add(topic);
    if (this.#noted.has(code)) return;
    this.#noted.add(code);
    note(`fanfare: ${topic}: ${message}`);
  }

  subscribed(topic: string): void {
    if (!this.#waiting.delete(topic) || this.#waiting.size > 0) return;
    this.#noted.clear();
    note(`Subscribed to ${this.topics.length === 1 ? topic : 'all topics'}.`);
  }
}

const gapSentences = {
  reconnected: 'The connection was lost, and the topic keeps no history: publications may be missing.',
  node: 'The node reports that publications may be missing.',
  history: 'Publications are missing: the history does not reach back that far.',
};

function startOf(topics: readonly string[], { since, last }: SubscribeOptions): readonly (Position | null)[] | null {
  if (since === undefined || since === 'now') return null;
  if (last !== undefined) throw new UsageFailure('Use --since or --last, not both.');
  const positions = parsePositionsText(since);
  if (positions === null) {
    throw new UsageFailure('--since must be a position such as 1764563000000000-42, or several joined with ".".');
  }
  if (positions.length === topics.length) return positions;
  throw new UsageFailure(
    `--since has ${positions.length} positions for ${topics.length} topics. Give one for each topic, joined with ".".`,
  );
}

/** One line for each publication. Losses are lines too with --json, and otherwise go to standard error. */
class Lines implements View {
  constructor(
    private readonly hasSeveralTopics: boolean,
    private readonly isJson: boolean,
  ) {}

  publication({ topic, position, data, ...rest }: Received): Promise<void> {
    if (this.isJson) return writeLine(jsonText({ topic, ...position, data, ...rest }));
    return writeLine(this.hasSeveralTopics ? `${topic} ${jsonText(data)}` : jsonText(data));
  }

  async loss(event: 'gap' | 'reset', topic: string, position: Position | null, sentence: string): Promise<void> {
    if (this.isJson) return writeLine(jsonText({ event, topic, ...position }));
    note(`${topic}: ${sentence}${position === null ? '' : ` Continuing after ${positionText(position)}.`}`);
  }
}
