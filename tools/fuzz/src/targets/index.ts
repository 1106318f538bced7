/** All targets by name. */
import type { Target } from '../target.js';
import { revocations, ticket, token } from './admission.js';
import { clientData, clientJson, clientMsgpack } from './client-codecs.js';
import { config } from './config.js';
import { addresses, handshake } from './handshake.js';
import { nodeJson, nodeMsgpack } from './node-codecs.js';
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
};
