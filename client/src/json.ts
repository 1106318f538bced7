/**
 * The Fanfare client with JSON only, for small bundles.
 * @module
 */
import { jsonClientCodec } from '@fanfare/protocol';
import { platformWebSocket } from '#websocket';
import { Client } from './client.js';
import type { CommonOptions } from './options.js';
import type { AnyJsonTopics, AnyTopics, JsonTopics, SchemaInputs, SchemaOutputs, Schemas } from './topics.js';

export * from './api.js';

/** Options of `createClient()`. */
export interface ClientOptions extends CommonOptions {
  /** This entry speaks JSON only. */
  readonly encoding?: 'json' | undefined;
}

/** Creates a client that speaks JSON. Otherwise the same as `createClient` of `@fanfare/client`. */
export function createClient<const S extends Schemas>(
  url: string | URL,
  options: ClientOptions & { readonly schemas: S },
): Client<JsonTopics<SchemaInputs<S>>, SchemaOutputs<S>>;
export function createClient(
  url: string | URL,
  options?: ClientOptions & { readonly schemas?: undefined },
): Client<AnyJsonTopics, AnyTopics>;
export function createClient<Topics extends JsonTopics<Topics>>(
  url: string | URL,
  options?: ClientOptions & { readonly schemas?: undefined },
): Client<Topics>;
export function createClient(
  url: string | URL,
  options: ClientOptions & { readonly schemas?: Schemas | undefined } = {},
): Client {
  return new Client(url, options, jsonClientCodec, options.webSocket ?? platformWebSocket());
}
