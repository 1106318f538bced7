/**
 * The Fanfare client with the library msgpackr as the codec of data, for backends that trust each other.
 * @module
 */
import { MsgpackClientCodec } from '@fanfare/protocol';
import { platformWebSocket } from '#websocket';
import { Client } from './client.js';
import { createMsgpackrData } from './msgpackr-data.js';
import type { CommonOptions } from './options.js';
import type { RichTopics, SchemaInputs, SchemaOutputs, Schemas } from './topics.js';

export * from './api.js';
export type { Rich } from './data-types.js';
export type { RichTopics } from './topics.js';

/** Options of `createClient()`. */
export interface ClientOptions extends CommonOptions {
  /** This entry speaks MessagePack only. */
  readonly encoding?: 'msgpack' | undefined;
}

/**
 * Creates a client whose data may also contain maps, sets, typed arrays, errors, regular expressions, `undefined` and
 * integers of any size. Otherwise the same as `createClient` of `@fanfare/client`.
 *
 * All publishers and subscribers of a topic should use this entry. Other clients can read a publication only if it has
 * none of these values; otherwise they get an `error` event (`undecodable`), and the next publication arrives as usual.
 * The bytes of these values are specific to msgpackr: Fanfare does not promise that another version or another language
 * can read them.
 *
 * A hostile publisher can make subscribers build regular expressions and errors, and cost them processor time. Permit
 * only backends that you trust to publish to such a topic.
 *
 * `publish()` and `send()` fail with `invalidData` for data that msgpackr cannot carry, such as a promise, or data that
 * contains itself.
 */
export function createClient<const S extends Schemas>(
  url: string | URL,
  options: ClientOptions & { readonly schemas: S },
): Client<RichTopics<SchemaInputs<S>>, SchemaOutputs<S>>;
export function createClient(url: string | URL, options?: ClientOptions & { readonly schemas?: undefined }): Client;
export function createClient<Topics extends RichTopics<Topics>>(
  url: string | URL,
  options?: ClientOptions & { readonly schemas?: undefined },
): Client<Topics>;
export function createClient(
  url: string | URL,
  options: ClientOptions & { readonly schemas?: Schemas | undefined } = {},
): Client {
  const codec = new MsgpackClientCodec(createMsgpackrData());
  return new Client(url, options, codec, options.webSocket ?? platformWebSocket());
}
