/** `fanfare tap`: watch topics live, for the person on call. */
import { type Position, positionText } from '@fanfare/protocol';
import type { Command } from 'commander';
import { brokerOf } from '../broker.js';
import { declare } from '../command.js';
import { counted, jsonText, note, sizeText, styled, writeLine } from '../output.js';
import { type TopicInfo, topicInfo } from '../topic-info.js';
import { addSubscribeOptions, follow, type Received, type SubscribeOptions, type View } from './subscribe.js';

export function tapCommand(): Command {
  const command = declare(
    'tap',
    'Watch topics live: time, position, size and data of each publication, losses and reconnects, until Ctrl+C.',
    [
      { command: 'fanfare tap orders.created', about: 'one topic' },
      { command: 'fanfare tap orders.created --last 20', about: 'the newest twenty first' },
      { command: 'fanfare tap orders.created prices.eur --json', about: 'objects with "receivedAt" and "bytes"' },
    ],
  );
  return addSubscribeOptions(command).action(tap);
}

async function tap(topics: readonly string[], options: SubscribeOptions): Promise<void> {
  const view = new Tap(topics, options.json === true);
  if (!options.json) for (const topic of topics) note(await headOf(topic, options));
  await follow(topics, options, view);
  if (!options.json) note(view.summary());
}

/** What the broker says of the topic. A token for `subscribe` may read it; nodes of earlier releases do not know it. */
async function headOf(topic: string, options: SubscribeOptions): Promise<string> {
  const info = await topicInfo(brokerOf(options), topic).catch(() => null);
  return info === null ? `${topic}: waiting for publications.` : `${topic}: ${describe(info)}`;
}

export function describe({ level, position, subscribers, nodes }: TopicInfo): string {
  const place = level === 'fast' ? '' : `, at ${position === null ? 'no position yet' : positionText(position)}`;
  const silent = nodes.asked - nodes.answered;
  const missing = silent === 0 ? '' : ` (${counted(silent, 'node')} did not answer)`;
  return `${level}${place}, ${counted(subscribers, 'subscriber')} on ${counted(nodes.answered, 'node')}${missing}`;
}

class Tap implements View {
  readonly #width: number;
  readonly #startedAt = performance.now();
  #count = 0;
  #bytes = 0;
  #losses = 0;
  #lastAt: number | null = null;

  constructor(
    private readonly topics: readonly string[],
    private readonly isJson: boolean,
  ) {
    this.#width = Math.max(...topics.map(({ length }) => length));
  }

  publication({ topic, position, data, ...rest }: Received): Promise<void> {
    const text = jsonText(data);
    const bytes = Buffer.byteLength(text);
    const now = new Date();
    this.#count++;
    this.#bytes += bytes;
    if (this.isJson) return writeLine(jsonText({ receivedAt: now, topic, ...position, bytes, data, ...rest }));
    const since = this.#lastAt === null ? '' : durationText(performance.now() - this.#lastAt);
    this.#lastAt = performance.now();
    const head = [
      styled('gray', clock(now)),
      styled('gray', since.padStart(8)),
      ...(this.topics.length > 1 ? [styled('cyan', topic.padEnd(this.#width))] : []),
      styled('green', (position === null ? '*' : String(position.offset)).padStart(6)),
      sizeText(bytes).padStart(8),
    ].join(' ');
    const shown = rest.key === undefined ? text : `${rest.key}${rest.remove ? ' removed' : ''}: ${text}`;
    return writeLine(`${head}  ${clipped(shown, this.topics.length > 1 ? this.#width + 1 : 0)}`);
  }

  async loss(event: 'gap' | 'reset', topic: string, position: Position | null, sentence: string): Promise<void> {
    this.#losses++;
    if (this.isJson) return writeLine(jsonText({ receivedAt: new Date(), event, topic, ...position }));
    const place = position === null ? '' : ` Continuing after ${positionText(position)}.`;
    await writeLine(styled('yellow', `${clock(new Date())} ${event} of ${topic}: ${sentence}${place}`));
  }

  summary(): string {
    const seconds = (performance.now() - this.#startedAt) / 1_000;
    const losses = this.#losses === 0 ? '' : `, ${this.#losses} losses`;
    return `${counted(this.#count, 'publication')}, ${sizeText(this.#bytes)} in ${seconds.toFixed(1)} s${losses}.`;
  }
}

/** The local time, to the millisecond. */
function clock(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const milliseconds = String(date.getMilliseconds()).padStart(3, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}

/** The time since the previous publication. */
function durationText(ms: number): string {
  if (ms < 1_000) return `+${Math.round(ms)} ms`;
  return ms < 120_000 ? `+${(ms / 1_000).toFixed(1)} s` : `+${Math.round(ms / 60_000)} min`;
}

/** At a terminal, the data ends with the line. */
function clipped(text: string, used: number): string {
  const { columns, isTTY } = process.stdout;
  const room = Math.max(20, (columns ?? 80) - 39 - used);
  return isTTY && text.length > room ? `${text.slice(0, room - 1)}…` : text;
}
