/** All targets by name. */
import type { Target } from '../target.js';
import { revocations, ticket, token } from './admission.js';
import { clientData, clientJson, clientMsgpack } from './client-codecs.js';
import { config } from './config.js';
import { addresses, handshake } from './handshake.js';
import { batchJson, batchLines, historyQuery, publication } from './http-requests.js';
import { nodeJson, nodeMsgpack } from './node-codecs.js';
import { streamId } from './stream-ids.js';
import { topic } from './topic.js';

export const targets: Readonly<Record<string, Target>> = {
  'node-msgpack': nodeMsgpack,
  'node-json': nodeJson,
  'client-msgpack': clientMsgpack,
  'client-json': clientJson,
  data: clientData,
  topic,
  config,
  handshake,
  addresses,
  revocations,
  ticket,
  token,
  'batch-json': batchJson,
  'batch-lines': batchLines,
  publication,
  'http-query': historyQuery,
  'stream-id': streamId,
};
