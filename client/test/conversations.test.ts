/**
 * This client follows the sample conversations of the protocol (protocol/test/fixtures/README.md), over real sockets.
 */
import { readFileSync } from 'node:fs';
import { type Client, FanfareError } from '@fanfare/client';
import type { Command, Position } from '@fanfare/protocol';
import { expect, it } from 'vitest';
import { connect } from './harness.js';
import { startTestNode, type TestConnection, type TestNode, until } from './test-node.js';

interface Message {
  readonly [field: string]: unknown;
  readonly type?: unknown;
  readonly id?: unknown;
  readonly code?: unknown;
  readonly messageId?: unknown;
}

type Step =
  | { readonly app: 'subscribe' | 'publish'; readonly topic: string; readonly data?: unknown; readonly as?: string }
  | { readonly client: Message; readonly on?: number | readonly number[]; readonly label?: string }
  | { readonly node: Message; readonly on?: number | 'last'; readonly to?: string }
  | { readonly events: readonly string[] }
  | { readonly cut: true; readonly on?: number }
  | { readonly closes: number; readonly on?: number }
  | { readonly repeat: number; readonly steps: readonly Step[] };

interface Conversation {
  readonly name: string;
  /** The node leaves a command unanswered: the client needs a short deadline. */
  readonly isSilent?: true;
  readonly steps: readonly Step[];
}

const fixture = new URL('../../protocol/test/fixtures/conversations.json', import.meta.url);
const { conversations }: { conversations: Conversation[] } = JSON.parse(readFileSync(fixture, 'utf8'));

/** Pushes, and `unsubscribed` with a code, are not replies. */
const isReply = ({ type, code }: Message): boolean =>
  ['subscribed', 'published', 'history', 'error'].includes(String(type)) ||
  (type === 'unsubscribed' && code === undefined);

const shown = (position: Position | null): string => (position === null ? '' : ` ${position.epoch}${position.offset}`);

/** A command as a client writes it in JSON; absent fields are null. */
function neutral(command: Command): Message {
  if (command.type !== 'publish') return { ...command };
  const { bytes, start, end, ...fields } = command;
  return { ...fields, data: JSON.parse(Buffer.from(bytes).toString('utf8', start, end)) };
}

class Conversing {
  readonly #node: TestNode;
  readonly #client: Client;
  readonly #events: string[] = [];
  /** How many commands of each connection have been checked. */
  readonly #checked = new Map<number, number>();
  /** The last command of each connection. */
  readonly #last = new Map<number, Message>();
  #lastOn = 1;
  readonly #labels = new Map<string, unknown>();
  readonly #messageIds = new Map<unknown, unknown>();

  constructor(node: TestNode, client: Client) {
    this.#node = node;
    this.#client = client;
  }

  async carryOut(step: Step): Promise<void> {
    if ('app' in step) this.#act(step);
    else if ('client' in step) await this.#expectCommand(step);
    else if ('node' in step) await this.#send(step);
    else if ('events' in step) await this.#expectEvents(step.events);
    else if ('cut' in step) (await this.#connection(step.on)).cut();
    else if ('closes' in step) {
      const connection = await this.#connection(step.on);
      await until(() => connection.closed !== null);
      expect(connection.closed?.code).toBe(step.closes);
    } else {
      for (let time = 0; time < step.repeat; time++) for (const each of step.steps) await this.carryOut(each);
    }
  }

  /** The client has done nothing else. */
  async end(): Promise<void> {
    // All pending commands and events of the client come before this publish.
    const published = this.#client.publish('the.end', null);
    const on = this.#node.connections.length;
    await this.#expectCommand({ client: { type: 'publish', topic: 'the.end' }, on });
    await this.#send({ node: { type: 'published' }, on });
    await published;
    expect(this.#events).toEqual([]);
    for (let each = 1; each < on; each++) expect(this.#commands(each).slice(this.#checked.get(each) ?? 0)).toEqual([]);
  }

  #act({ app, topic, data, as = '' }: Extract<Step, { app: unknown }>): void {
    if (app === 'subscribe') {
      const subscription = this.#client.subscribe(topic, (publication) => this.#events.push(String(publication.data)));
      subscription.on('gap', ({ position }) => this.#events.push(`gap${shown(position)}`));
      subscription.on('reset', ({ position }) => this.#events.push(`reset${shown(position)}`));
      subscription.on('error', ({ code }) => code === 'undecodable' && this.#events.push(code));
      subscription.on('unsubscribed', ({ error }) => error !== null && this.#events.push(`ended ${error.code}`));
      return;
    }
    this.#client.publish(topic, data).then(
      ({ position }) => this.#events.push(`published ${as}${shown(position)}`),
      (error: unknown) => {
        if (!(error instanceof FanfareError)) throw error;
        this.#events.push(`failed ${as} ${error.code}${error.maybeDelivered ? ' perhaps' : ''}`);
      },
    );
  }

  async #expectCommand({ client: expected, on = 1, label }: Extract<Step, { client: unknown }>): Promise<void> {
    const connections = typeof on === 'number' ? [on] : on;
    const next = (each: number): Message | undefined => this.#commands(each)[this.#checked.get(each) ?? 0];
    await until(() => connections.some((each) => next(each) !== undefined));
    const from = connections.find((each) => next(each) !== undefined) ?? 1;
    const command = next(from) ?? {};
    this.#checked.set(from, (this.#checked.get(from) ?? 0) + 1);
    const { messageId, ...fields } = expected;
    expect(command).toMatchObject(fields);
    if (messageId !== undefined) {
      const bound = this.#messageIds.get(messageId) ?? command.messageId;
      expect(command.messageId).toBe(bound);
      expect([...this.#messageIds].filter(([name, id]) => id === bound && name !== messageId)).toEqual([]);
      this.#messageIds.set(messageId, bound);
    }
    this.#last.set(from, command);
    this.#lastOn = from;
    if (label !== undefined) this.#labels.set(label, command.id);
  }

  async #send({ node: message, on = 1, to }: Extract<Step, { node: unknown }>): Promise<void> {
    const place = on === 'last' ? this.#lastOn : on;
    const connection = await this.#connection(place);
    const id = to === undefined ? this.#last.get(place)?.id : this.#labels.get(to);
    connection.raw(JSON.stringify(isReply(message) ? { ...message, id } : message));
  }

  async #expectEvents(events: readonly string[]): Promise<void> {
    await until(() => this.#events.length >= events.length);
    expect(this.#events.splice(0)).toEqual(events);
  }

  #connection(on = 1): Promise<TestConnection> {
    return this.#node.connection(on - 1);
  }

  #commands(on: number): Message[] {
    const commands = this.#node.connections[on - 1]?.commands ?? [];
    return commands.filter(({ type }) => type !== 'connect' && type !== 'ping').map(neutral);
  }
}

it.each(conversations)('a client follows the conversation "$name"', async ({ isSilent, steps }) => {
  await using node = await startTestNode();
  // The test node answers connect and ping itself; the rest is scripted.
  for (const type of ['subscribe', 'unsubscribe', 'publish', 'history'] as const) node.on(type, () => {});
  await using client = connect(node, { encoding: 'json', ...(isSilent && { timeoutMs: 100 }) });
  const conversing = new Conversing(node, client as Client);
  for (const step of steps) await conversing.carryOut(step);
  await conversing.end();
});
