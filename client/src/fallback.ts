/**
 * The Fanfare client with a fallback for networks in which a WebSocket does not work: server-sent events, and long
 * polling.
 * @module
 */
import { jsonClientCodec } from '@fanfare/protocol';
import { platformWebSocket } from '#websocket';
import { Client } from './client.js';
import { DebugLog } from './debug-log.js';
import { RacingSocket, type RaceSettings } from './fallback/racing-socket.js';
import { type Transport, transportsOf, Winner } from './fallback/transports.js';
import { type CommonOptions, limitsOf } from './options.js';
import type { AnyJsonTopics, AnyTopics, JsonTopics, SchemaInputs, SchemaOutputs, Schemas } from './topics.js';

export * from './api.js';
export type { Transport } from './fallback/transports.js';
