/**
 * Typed topics. `@ts-expect-error` marks code that must not compile: `tsc --project tsconfig.test.json` fails if it
 * compiles.
 */

import type { WebSocketConstructor } from '@fanfare/client';
import {
  type AnyClient,
  type Client,
  createClient,
  type DataOf,
  type GapReason,
  type Position,
  type Publication,
  type StandardSchemaV1,
  type TopicOf,
} from '@fanfare/client';
import { createClient as createJsonClient } from '@fanfare/client/json';
import type { StandardSchemaV1 as Specified } from '@standard-schema/spec';
import { expectTypeOf, it } from 'vitest';
import { WebSocket as WsWebSocket } from 'ws';

interface ChatMessage {
  readonly text: string;
}
interface Price {
  readonly bid: number;
}
interface Topics {
  'chat.lobby': ChatMessage;
  [topic: `prices.${string}`]: Price;
  [topic: `rooms.${string}.typing`]: boolean;
}

/** Compiled, never run. */
function typed(client: Client<Topics>, currency: string): void {
  void client.publish('chat.lobby', { text: 'hi' });
  void client.publish('prices.BTC', { bid: 1 });
  void client.publish(`prices.${currency}`, { bid: 1 });
  void client.publish('rooms.1.typing', true);
  client.send('prices.BTC', { bid: 1 });
  // @ts-expect-error: a price is not a message.
  void client.publish('chat.lobby', { bid: 1 });
  // @ts-expect-error: a message is not a price.
  void client.publish('prices.BTC', { text: 'hi' });
  // @ts-expect-error: a message is not a price here either.
  client.send('prices.BTC', { text: 'hi' });
  // @ts-expect-error: no such topic.
  void client.publish('chat.attic', { text: 'hi' });
  // @ts-expect-error: no such topic.
  client.subscribe('price.BTC');
  // @ts-expect-error: any text might be any topic.
  client.subscribe(currency);
  // @ts-expect-error: data is missing.
  void client.publish('chat.lobby');

  const subscription = client.subscribe('prices.BTC', (publication) => {
    expectTypeOf(publication).toEqualTypeOf<Publication<'prices.BTC', Price>>();
    expectTypeOf(publication.data).not.toBeAny();
  });
  expectTypeOf(subscription.topic).toEqualTypeOf<'prices.BTC'>();
  expectTypeOf(client.subscribe('chat.lobby')).toExtend<AsyncIterable<Publication<'chat.lobby', ChatMessage>>>();
  expectTypeOf(client.subscribe(`prices.${currency}`)).toExtend<AsyncIterable<{ readonly data: Price }>>();
  subscription.on('gap', ({ reason }) => expectTypeOf(reason).toEqualTypeOf<GapReason>());
  subscription.on('reset', ({ position }) => expectTypeOf(position).toEqualTypeOf<Position>());
  void client.history('prices.BTC', { limit: 10 }).then(({ publications, position }) => {
    expectTypeOf(publications).toEqualTypeOf<readonly Publication<'prices.BTC', Price>[]>();
    expectTypeOf(position).toEqualTypeOf<Position>();
  });
  // @ts-expect-error: no such topic.
  void client.history('chat.attic');
  // @ts-expect-error: no such event.
  subscription.on('message', () => {});
  // @ts-expect-error: publications cannot be changed.
  client.subscribe('chat.lobby', (publication) => (publication.data = { text: '' }));
}

interface Order {
  id: number;
  items: { name: string; tags: string[] }[];
  note?: string;
}

class Money {
  readonly #cents: number;
  constructor(cents: number) {
    this.#cents = cents;
  }
  plus(cents: number): Money {
    return new Money(this.#cents + cents);
  }
}

/** Data is read-only, because all listeners of a topic get the same object. */
function sharing(
  client: Client<{ orders: Order; at: Date; total: { money: Money; bytes: Uint8Array; extra: unknown } }>,
): void {
  client.subscribe('orders', ({ data }) => {
    expectTypeOf(data.items[0]?.tags).toEqualTypeOf<readonly string[] | undefined>();
    // A function that only reads accepts it.
    const show = (order: { readonly id: number; readonly note?: string }): void => void order;
    show(data);
    // @ts-expect-error: data cannot be changed,
    data.id = 1;
    // @ts-expect-error: nor its fields,
    data.items.push({ name: '', tags: [] });
    // @ts-expect-error: nor anything deeper.
    data.items[0]?.tags.push('');
  });
  void client.history('orders').then(({ publications }) => {
    // @ts-expect-error: nor in a history.
    if (publications[0] !== undefined) publications[0].data.id = 1;
  });
  // Instances of classes stay what they are.
  client.subscribe('at', ({ data }) => expectTypeOf(data).toEqualTypeOf<Date>());
  client.subscribe('total', ({ data }) => {
    expectTypeOf(data.money).toEqualTypeOf<Money>();
    expectTypeOf(data.bytes).toEqualTypeOf<Uint8Array>();
    expectTypeOf(data.extra).toEqualTypeOf<unknown>();
  });
}

function severalAtOnce(client: Client<Topics>, which: 'chat.lobby' | 'prices.BTC'): void {
  // @ts-expect-error: the topic may be the other one.
  void client.publish(which, { text: 'hi' });
  // @ts-expect-error: the same with `send`.
  client.send(which, { bid: 1 });
  void client.publish(which, { text: 'hi', bid: 1 });
  const publish = <Topic extends TopicOf<Topics>>(topic: Topic, data: DataOf<Topics, Topic>): void => {
    void client.publish(topic, data);
  };
  publish('chat.lobby', { text: 'hi' });
  // @ts-expect-error: a price is not a message.
  publish('chat.lobby', { bid: 1 });
}

/** Values that JSON cannot carry. */
function speakingJson(order: Order, date: StandardSchemaV1<Date, Date>, encoding: 'json' | 'msgpack'): void {
  const json = createJsonClient<{ orders: Order; tree: Tree; [topic: `prices.${string}`]: Price }>('ws://localhost/ws');
  void json.publish('orders', order);
  void json.publish('prices.BTC', { bid: 1 });
  // @ts-expect-error: a date would arrive as text.
  createJsonClient<{ a: Date }>('ws://localhost/ws');
  // @ts-expect-error: the same inside an object.
  createJsonClient<{ a: readonly { readonly at: Date }[] }>('ws://localhost/ws');
  // @ts-expect-error: undefined would arrive as null.
  createJsonClient<{ a: number | undefined }>('ws://localhost/ws');
  // @ts-expect-error: bytes would arrive as an object.
  createJsonClient<{ a: Uint8Array }>('ws://localhost/ws');
  // @ts-expect-error: a bigint cannot be sent.
  createJsonClient<{ a: { readonly id: bigint } }>('ws://localhost/ws');
  // @ts-expect-error: the same with the other entry.
  createClient<{ a: Date }>('ws://localhost/ws', { encoding: 'json' });
  // @ts-expect-error: this client may use JSON.
  createClient<{ a: Date }>('ws://localhost/ws', { encoding });
  createClient<{ a: Date }>('ws://localhost/ws', { encoding: 'msgpack' });
  const untypedJson = createJsonClient('ws://localhost/ws');
  void untypedJson.publish('a', order);
  void untypedJson.publish('a', { any: ['thing', 1, null] });
  // @ts-expect-error: no date.
  void untypedJson.publish('a', new Date());
  // @ts-expect-error: no undefined.
  void untypedJson.publish('a', undefined);
  untypedJson.subscribe('a', ({ data }) => expectTypeOf(data).toEqualTypeOf<unknown>());
  const checked = createJsonClient('ws://localhost/ws', { schemas: { a: date } });
  // @ts-expect-error: the subscriber's schema would get text, not a date.
  void checked.publish('a', new Date());
}

interface Tree {
  readonly children: readonly Tree[];
}

/** Any JSON, as people write it, */
type AnyJson = string | number | boolean | null | AnyJson[] | { [name: string]: AnyJson };
/** and as the package `type-fest` has it. */
type JsonObject = { [Key in string]: JsonValue };
type JsonValue = string | number | boolean | null | JsonObject | JsonValue[] | readonly JsonValue[];

interface Recursive {
  any: AnyJson;
  value: JsonValue;
  event: { readonly kind: string; payload: JsonValue; causes: Recursive['event'][] };
}

/** Data that may contain itself. */
function recursive(client: Client<Recursive>): void {
  client.subscribe('any', ({ data }) => {
    if (Array.isArray(data)) void data[0];
    // @ts-expect-error: it cannot be changed.
    if (typeof data === 'object' && data !== null && !('length' in data)) data['a'] = 1;
  });
  client.subscribe('value', ({ data }) => void data);
  client.subscribe('event', ({ data }) => void data.causes[0]?.causes[0]?.payload);
  void client.history('any').then(({ publications }) => void publications[0]?.data);
  void client.publish('any', { a: [1, { b: null }] });
  const json = createJsonClient<Recursive>('ws://localhost/ws');
  json.subscribe('value', ({ data }) => void data);
  void json.publish('value', { a: [1, { b: null }] });
  void json.publish('event', { kind: 'a', payload: [], causes: [] });
  // @ts-expect-error: no date.
  void json.publish('any', new Date());
  // @ts-expect-error: no date next to a field of any type.
  createJsonClient<{ a: { any: AnyJson; at: Date }[] }>('ws://localhost/ws');
  // @ts-expect-error: no date in a tuple.
  createJsonClient<{ a: [number, Date] }>('ws://localhost/ws');
}

/** Options come before the listener, and there is only one listener. */
function subscribing(client: Client<Topics>, listener: ((price: Publication) => void) | undefined): void {
  client.subscribe('prices.BTC', listener);
  client.subscribe('prices.BTC', { last: 5 }, listener);
  client.subscribe('prices.BTC', undefined, ({ data }) => expectTypeOf(data).toEqualTypeOf<Price>());
  client.subscribe('prices.BTC', { last: 5 }, ({ data }) => expectTypeOf(data).toEqualTypeOf<Price>());
  // @ts-expect-error: the listener before the options.
  client.subscribe('prices.BTC', () => {}, { last: 5 });
  const listen = (): void => {};
  // @ts-expect-error: the second listener would not be called.
  client.subscribe('prices.BTC', listen, listen);
  // @ts-expect-error: no such option.
  client.subscribe('prices.BTC', { from: 5 });
}

function several(client: Client<Topics>, which: 'chat.lobby' | 'prices.BTC'): void {
  const subscription = client.subscribe(which, (publication) => {
    if (publication.topic === 'chat.lobby') expectTypeOf(publication.data).toEqualTypeOf<ChatMessage>();
    else expectTypeOf(publication.data).toEqualTypeOf<Price>();
  });
  subscription.on('gap', () => {});
  void (async () => {
    for await (const { topic, data } of subscription) {
      if (topic === 'chat.lobby') expectTypeOf(data).toEqualTypeOf<ChatMessage>();
      else expectTypeOf(data).toEqualTypeOf<Price>();
    }
  })();
}

function watching(client: Client<Topics>, untypedClient: Client): AnyClient[] {
  return [client, untypedClient];
}

/** Under `exactOptionalPropertyTypes`. */
function undefinedOptions(client: Client<Topics>, signal: AbortSignal | undefined): void {
  void client.history('prices.BTC', { since: undefined, limit: undefined, direction: undefined });
  createClient('ws://localhost/ws', { timeoutMs: undefined, encoding: undefined, schemas: undefined });
  void client.publish('prices.BTC', { bid: 1 }, { signal, timeoutMs: undefined });
  client.on('state', async () => {});
}

function untyped(client: Client): void {
  void client.publish('anything', { goes: true });
  client.subscribe('anything', ({ data, topic }) => {
    expectTypeOf(data).toEqualTypeOf<unknown>();
    expectTypeOf(topic).toEqualTypeOf<'anything'>();
  });
}

function bySchemas(text: StandardSchemaV1<string>, date: StandardSchemaV1<string, Date>, spec: Specified<1, 2>): void {
  const client = createClient('ws://localhost/ws', {
    schemas: { 'chat.lobby': text, 'dates.*': date, 'logs.>': spec },
  });
  void client.publish('dates.today', '2024-02-29');
  void client.publish('logs.a.b.c', 1);
  client.subscribe('dates.today', ({ data }) => expectTypeOf(data).toEqualTypeOf<Date>());
  client.subscribe('chat.lobby', ({ data }) => expectTypeOf(data).toEqualTypeOf<string>());
  void client.history('dates.today').then(({ publications }) => {
    for (const { data } of publications) expectTypeOf(data).toEqualTypeOf<Date>();
  });
  client.subscribe('logs.x', ({ data }) => expectTypeOf(data).toEqualTypeOf<2>());
  // @ts-expect-error: the input is text.
  void client.publish('dates.today', new Date());
  // @ts-expect-error: no such topic.
  client.subscribe('chat.attic');
  // @ts-expect-error: not a schema.
  createClient('ws://localhost/ws', { schemas: { a: 1 } });
  // @ts-expect-error: topics follow from the schemas, not also from a map.
  createClient<Topics>('ws://localhost/ws', { schemas: { 'chat.lobby': text } });
  // @ts-expect-error: this entry has only JSON.
  createJsonClient('ws://localhost/ws', { encoding: 'msgpack' });
  // Our interface equals the one in the specification.
  expectTypeOf<Specified<1, 2>>().toExtend<StandardSchemaV1<1, 2>>();
}

it('typed topics compile', () => {
  expectTypeOf(createClient('ws://localhost/ws', { autoConnect: false })).toEqualTypeOf<Client>();
  const client = createClient<Topics>('ws://localhost/ws', { autoConnect: false });
  expectTypeOf(client).toEqualTypeOf<Client<Topics>>();
  const json: Client<Topics> = createJsonClient<Topics>('ws://localhost/ws', { autoConnect: false });
  // Any implementation of WebSocket fits.
  const implementations = (): WebSocketConstructor[] => [WsWebSocket, WebSocket];
  void [typed, several, watching, undefinedOptions, untyped, bySchemas, json, implementations];
  void [sharing, severalAtOnce, speakingJson, recursive, subscribing];
});
