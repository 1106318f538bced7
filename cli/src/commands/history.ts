/** `fanfare history`: publications of a topic that the broker still has. */
import { untilStopped } from '@fanfare/kit/stop-signal';
import { maxHistoryLimit, type Position, parsePositionText, positionText } from '@fanfare/protocol';
import type { Command } from 'commander';
import {
  addBrokerOptions,
  type BrokerClient,
  type BrokerOptions,
  brokerOf,
  connect,
  parseCount,
  untilSignal,
} from '../broker.js';
import { declare } from '../command.js';
import { UsageFailure } from '../failure.js';
import { counted, jsonText, note, writeLine } from '../output.js';
import type { Received } from './subscribe.js';

interface Options extends BrokerOptions {
  readonly since?: string;
  readonly before?: string;
  readonly limit: number;
  readonly json?: true;
}

export function historyCommand(): Command {
  const command = declare(
    'history',
    'Print publications of a topic, oldest first: the newest 100, or those after a position.',
    [
      { command: 'fanfare history chat.lobby', about: 'the newest 100' },
      { command: 'fanfare history chat.lobby --limit 5 --json', about: 'the newest five, with positions' },
      { command: 'fanfare history orders --since 1764563000000000-42 --limit 100000', about: 'all after a position' },
    ],
  )
    .argument('<topic>', 'the topic')
    .option('--since <position>', 'those after this position')
    .option('--before <position>', 'the newest ones before this position')
    .option('-l, --limit <n>', 'at most this many publications', parseCount, 100)
    .option('--json', 'print an object for each publication: {"topic","epoch","offset","data"}, and "key", "remove"');
  return addBrokerOptions(command).action(read);
}

async function read(topic: string, options: Options): Promise<void> {
  const since = positionOf('--since', options.since);
  const before = positionOf('--before', options.before);
  if (since !== null && before !== null) throw new UsageFailure('Use --since or --before, not both.');
  const client = connect(brokerOf(options));
  try {
    const work =
      since === null ? readBackward(client, topic, before, options) : readForward(client, topic, since, options);
    await Promise.race([work, untilSignal(untilStopped(), 'Stopped.')]);
  } finally {
    await client.close();
  }
}

async function readForward(client: BrokerClient, topic: string, since: Position, options: Options): Promise<void> {
  let at = since;
  let left = options.limit;
  let head = since;
  while (left > 0) {
    const limit = Math.min(left, maxHistoryLimit);
    const page = await client.history(topic, { since: at, limit });
    if (!page.recovered) note(`${topic}: publications after ${positionText(at)} are missing from the history.`);
    const last = page.publications.at(-1)?.position ?? null;
    head = page.position;
    if (last === null) break;
    await print(page.publications, options);
    left -= page.publications.length;
    at = last;
  }
  if (!options.json) summarize(options.limit - left, at, head);
}

/** Pages come from the end of the history, so all must be read before the first can be printed. */
async function readBackward(
  client: BrokerClient,
  topic: string,
  before: Position | null,
  options: Options,
): Promise<void> {
  const pages: (readonly Received[])[] = [];
  let end = before;
  let head: Position | null = null;
  let left = options.limit;
  while (left > 0) {
    const limit = Math.min(left, maxHistoryLimit);
    const { publications, position } = await client.history(topic, { since: end, limit, direction: 'backward' });
    head ??= position;
    const first = publications[0]?.position ?? null;
    if (first === null) break;
    pages.unshift(publications);
    left -= publications.length;
    end = first;
    if (first.offset === 1) break;
  }
  for (const page of pages) await print(page, options);
  if (!options.json && head !== null) summarize(options.limit - left, pages.at(-1)?.at(-1)?.position ?? head, head);
}

async function print(publications: readonly Received[], { json }: Options): Promise<void> {
  for (const { topic, position, data, ...rest } of publications) {
    await writeLine(json ? jsonText({ topic, ...position, data, ...rest }) : jsonText(data));
  }
}

function summarize(count: number, at: Position, head: Position): void {
  const rest = at.epoch === head.epoch && at.offset < head.offset ? ` The newest is ${positionText(head)}.` : '';
  note(`${counted(count, 'publication')}, up to ${positionText(at)}.${rest}`);
}

function positionOf(option: string, text: string | undefined): Position | null {
  if (text === undefined) return null;
  const position = parsePositionText(text);
  if (position !== 'wrong' && position !== null) return position;
  throw new UsageFailure(`${option} must be a position such as 1764563000000000-42.`);
}
