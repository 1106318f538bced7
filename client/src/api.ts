/// <reference lib="esnext.disposable" preserve="true" />
/** Public names of all entries. */
export type { Position } from '@fanfare/protocol';
export type { SubscribeOptions } from './catch-up.js';
export type { AnyClient, Client, ClientEvents } from './client.js';
export type { Json, JsonData, ReadonlyData } from './data-types.js';
export { ConnectionError, DataError, type ErrorCode, FanfareError, ReplyError } from './errors.js';
export type { HistoryOf, HistoryOptions } from './histories.js';
export type { CommonOptions, GetToken, Limits } from './options.js';
export type { Acknowledgement, PublishOptions, SendOptions } from './publisher.js';
export type { SchemaIssue, StandardSchemaV1 } from './standard-schema.js';
export type { ConnectionState, StateCode } from './state.js';
export type {
  GapReason,
  Publication,
  PublicationOf,
  Subscription,
  SubscriptionEvents,
  SubscriptionOf,
  SubscriptionState,
} from './subscription.js';
export type {
  AnyJsonTopics,
  AnyTopics,
  DataOf,
  JsonTopics,
  SchemaInputs,
  SchemaOutputs,
  Schemas,
  TopicOf,
} from './topics.js';
export type { WebSocketConstructor, WebSocketLike } from './websocket.js';
