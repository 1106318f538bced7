/**
 * The Fanfare client. It speaks MessagePack, or JSON on demand; `@fanfare/client/json` speaks JSON only and is smaller.
 * @module
 */
import { jsonClientCodec, MsgpackClientCodec } from '@fanfare/protocol';
import { platformWebSocket } from '#websocket';
import { Client } from './client.js';
import { createMsgpackData } from './msgpack-data.js';
import type { CommonOptions } from './options.js';
import type { AnyJsonTopics, AnyTopics, JsonTopics, SchemaInputs, SchemaOutputs, Schemas } from './topics.js';

export * from './api.js';

export interface ClientOptions extends CommonOptions {
  /**
   * What this client speaks with the node. Publishers and subscribers of a topic may differ in it.
   * @default 'msgpack'
   */
  readonly encoding?: 'msgpack' | 'json' | undefined;
}

type MsgpackOptions = ClientOptions & { readonly encoding?: 'msgpack' | undefined };

/**
 * A client of the broker at `url`: `ws://…/ws`, `wss://…/ws`, or a path of the server that the page came from, such as `/ws`. It
 * connects when it is first used, and comes back by itself until `close()`.
 *
 * Topics are typed by a map, `createClient<Topics>(url)`, or by schemas, which also check the data at run time:
 * `createClient(url, { schemas: { 'prices.*': Price } })`. Throws `invalidOption`, also for a `url`
 * that is none.
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
