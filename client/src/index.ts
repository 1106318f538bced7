/**
 * The Fanfare client. It speaks MessagePack, or JSON with `encoding: 'json'`. `@fanfare/client/json` speaks JSON only
 * and is smaller.
 * @module
 */
import { jsonClientCodec, MsgpackClientCodec } from '@fanfare/protocol';
import { platformWebSocket } from '#websocket';
import { Client } from './client.js';
import { createMsgpackData } from './msgpack-data.js';
import type { CommonOptions } from './options.js';
import type { AnyJsonTopics, AnyTopics, JsonTopics, SchemaInputs, SchemaOutputs, Schemas } from './topics.js';

export * from './api.js';

/** Options of `createClient()`. */
export interface ClientOptions extends CommonOptions {
  /**
   * Encoding between this client and the node. Publishers and subscribers of one topic may use different encodings.
   * @default 'msgpack'
   */
  readonly encoding?: 'msgpack' | 'json' | undefined;
}

type MsgpackOptions = ClientOptions & { readonly encoding?: 'msgpack' | undefined };

/**
 * Creates a client of the broker at `url`: `ws://…/ws`, `wss://…/ws`, or a path on the server of the page, such as
 * `/ws`. The client connects on first use and reconnects automatically until `close()`.
 *
 * A topic map gives topics their types: `createClient<Topics>(url)`. Schemas do the same and also check data at run
 * time: `createClient(url, { schemas: { 'prices.*': Price } })`. Throws `invalidOption` if an option or the `url` is
 * invalid.
 *
 * @example
 * const client = createClient<{ 'chat.lobby': string }>('wss://example.com/ws');
 * for await (const { data } of client.subscribe('chat.lobby')) console.log(data);
 */
export function createClient<const S extends Schemas>(
  url: string | URL,
  options: MsgpackOptions & { readonly schemas: S },
): Client<SchemaInputs<S>, SchemaOutputs<S>>;
export function createClient<const S extends Schemas>(
  url: string | URL,
  options: ClientOptions & { readonly schemas: S },
): Client<JsonTopics<SchemaInputs<S>>, SchemaOutputs<S>>;
export function createClient<Topics extends object = AnyTopics>(
  url: string | URL,
  options?: MsgpackOptions & { readonly schemas?: undefined },
): Client<Topics>;
export function createClient(
  url: string | URL,
  options: ClientOptions & { readonly schemas?: undefined },
): Client<AnyJsonTopics, AnyTopics>;
export function createClient<Topics extends JsonTopics<Topics>>(
  url: string | URL,
  options: ClientOptions & { readonly schemas?: undefined },
): Client<Topics>;
export function createClient(
  url: string | URL,
  options: ClientOptions & { readonly schemas?: Schemas | undefined } = {},
): Client {
  const codec = options.encoding === 'json' ? jsonClientCodec : new MsgpackClientCodec(createMsgpackData());
  return new Client(url, options, codec, options.webSocket ?? platformWebSocket());
}
