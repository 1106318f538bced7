/** The routes for publishing and reading, with their documentation. */
import { historyDirections, maxHistoryLimit, maxTopicBytes } from '@fanfare/protocol';
import { defaultHistoryLimit } from '../handlers/history.js';
import { maxBatchBytes, maxBatchPublications, maxItemTopics, onBatch } from './batch-request.js';
import { maxCommands, onCommands } from './commands-request.js';
import type { Exchange } from './exchange.js';
import { type HistoryQuery, maxWaitSeconds, onHistory, positionHeader, readHistoryQuery } from './history-request.js';
import type { HttpContext } from './http-context.js';
import { onPublish } from './publish-request.js';
import type { Route } from './route.js';
import {
  acceptedSchema,
  dataSchema,
  epochSchema,
  keySchema,
  levelSchema,
  messageIdSchema,
  object,
  offsetSchema,
  positionSchema,
  removeSchema,
  resultSchema,
  topicParameter,
  topicSchema,
  traceparentParameter,
} from './schemas.js';
import { defaultListLimit, maxListLimit, onTopicInfo, onTopics } from './topic-requests.js';

/** `hold`: answers a request for history when there is something after its `since`. */
export function publishRoutes(
  context: HttpContext,
  hold: (exchange: Exchange, query: HistoryQuery) => void,
): readonly Route[] {
  const { maxFrameBytes } = context;
  const results = object(['results'], { results: { type: 'array', items: resultSchema } });
  return [
    {
      method: 'post',
      path: '/v1/topics/{topic}/publications',
      operation: {
        id: 'publish',
        summary: 'Publish the body',
        description: `Publishes the body to the topic, unchanged. The body has at most ${maxFrameBytes} bytes. Requests of one HTTP connection to one topic keep their order. Repeat a request whose outcome is unknown (504, or no answer) with the same Idempotency-Key. A topic of level fast has no position, and cannot detect duplicates.`,
        parameters: [
          topicParameter,
          {
            name: 'Idempotency-Key',
            in: 'header',
            description:
              'The messageId of the publication. If it is missing, the node creates one and returns it. Browsers may repeat a POST by themselves: send a key.',
            schema: messageIdSchema,
          },
          { name: 'key', in: 'query', description: 'The key of the publication.', schema: keySchema, example: '42' },
          {
            name: 'remove',
            in: 'query',
            description: 'The publication removes what was published with its key.',
            schema: { type: 'boolean' },
          },
          traceparentParameter,
        ],
        body: {
          description: 'The data of the publication.',
          content: {
            'application/json': { schema: dataSchema, example: { price: 42 } },
            'application/msgpack': { schema: { description: 'One MessagePack value.' } },
          },
        },
        answers: {
          200: {
            description: 'The broker has accepted the publication.',
            content: { 'application/json': { schema: acceptedSchema } },
          },
        },
        problems: [
          ...(['malformed', 'invalidTopic', 'notPermitted', 'originNotAllowed', 'contentTooLarge'] as const),
          ...([
            'unsupportedMediaType',
            'requestTimeout',
            'rateLimited',
            'overloaded',
            'unavailable',
            'unconfirmed',
          ] as const),
        ],
      },
      handle: (exchange) => onPublish(exchange, context),
    },
    {
      method: 'post',
      path: '/v1/publications',
      operation: {
        id: 'publishBatch',
        summary: 'Publish several items',
        description: `Publishes the items in order. Each has its own outcome. At most ${maxBatchPublications} publications and ${maxBatchBytes} bytes; an item with "topics" (at most ${maxItemTopics}) counts once for each topic. If anything is malformed, nothing is published. If nothing was accepted and all publications failed for the same reason, the answer has the status of that reason, and results.`,
        parameters: [traceparentParameter],
        body: {
          description: 'An object, or one item per line.',
          content: {
            'application/json': {
              schema: object(['publications'], {
                publications: {
                  type: 'array',
                  items: object(['data'], {
                    topic: topicSchema,
                    topics: {
                      type: 'array',
                      items: topicSchema,
                      minItems: 1,
                      maxItems: maxItemTopics,
                      uniqueItems: true,
                    },
                    data: dataSchema,
                    messageId: messageIdSchema,
                    key: keySchema,
                    remove: removeSchema,
                  }),
                },
              }),
              example: { publications: [{ topic: 'orders.42', data: { state: 'paid' } }] },
            },
            'application/x-ndjson': { example: '{"topic":"orders.42","data":{"state":"paid"}}\n' },
          },
        },
        answers: {
          200: {
            description: 'All publications were accepted. One result for each, in order.',
            content: { 'application/json': { schema: results } },
          },
          207: {
            description: 'Some publications were accepted. One result for each, in order.',
            content: { 'application/json': { schema: results } },
          },
        },
        problems: [
          ...(['malformed', 'invalidTopic', 'notPermitted', 'originNotAllowed', 'contentTooLarge'] as const),
          ...([
            'unsupportedMediaType',
            'requestTimeout',
            'rateLimited',
            'overloaded',
            'unavailable',
            'unconfirmed',
          ] as const),
        ],
      },
      handle: (exchange) => onBatch(exchange, context),
    },
    {
      method: 'get',
      path: '/v1/topics/{topic}/publications',
      operation: {
        id: 'history',
        summary: 'Read publications',
        description: `Reads a page of the history of a topic. For the next page, repeat the request with since=next of the answer. With wait, the request is answered when there is a publication after since, or with 204 after that time (long polling); ${positionHeader} of either answer is the next since.`,
        parameters: [
          topicParameter,
          {
            name: 'since',
            in: 'query',
            description:
              'The page begins next to this position. "now": after the newest publication. Missing: from the oldest publication, or backward from the newest.',
            schema: positionSchema,
          },
          {
            name: 'limit',
            in: 'query',
            description:
              'Maximum number of publications. A page may have fewer although there are more: read on from next.',
            schema: { type: 'integer', minimum: 1, maximum: maxHistoryLimit, default: defaultHistoryLimit },
          },
          {
            name: 'direction',
            in: 'query',
            description: 'The direction to read in. Publications are in ascending order in both.',
            schema: { type: 'string', enum: historyDirections, default: 'forward' },
          },
          {
            name: 'wait',
            in: 'query',
            description: 'How long to wait for a publication, in seconds.',
            schema: { type: 'integer', minimum: 1, maximum: maxWaitSeconds },
          },
          traceparentParameter,
        ],
        answers: {
          200: {
            description: 'A page.',
            headers: { [positionHeader]: 'The since of the next page.' },
            content: {
              'application/json': {
                schema: object(['topic', 'epoch', 'offset', 'recovered', 'publications', 'next'], {
                  topic: topicSchema,
                  epoch: epochSchema,
                  offset: { ...offsetSchema, description: 'The offset of the newest publication of the topic.' },
                  recovered: {
                    type: 'boolean',
                    description:
                      'Whether nothing is missing between since (the beginning of the history, if it is missing) and publications.',
                  },
                  publications: {
                    type: 'array',
                    items: object(['offset'], {
                      offset: offsetSchema,
                      data: dataSchema,
                      error: { const: 'undecodable', description: 'The data is MessagePack that has no form in JSON.' },
                      key: keySchema,
                      remove: removeSchema,
                    }),
                  },
                  next: {
                    oneOf: [positionSchema, { type: 'null' }],
                    description: 'The since of the next page; null if nothing is left backward.',
                  },
                }),
              },
            },
          },
          204: {
            description: 'Nothing was published within the time of wait.',
            headers: { [positionHeader]: 'The since of the next request.' },
            content: {},
          },
        },
        problems: [
          'malformed',
          'invalidTopic',
          'notPermitted',
          'originNotAllowed',
          'noHistory',
          'rateLimited',
          'overloaded',
          'unavailable',
        ],
      },
      handle: (exchange) => {
        const query = readHistoryQuery(exchange);
        if (query.wait === null) onHistory(exchange, context, query);
        else hold(exchange, query);
      },
    },
    {
      method: 'get',
      path: '/v1/topics/{topic}',
      operation: {
        id: 'topicInfo',
        summary: 'Read the level, position and subscribers of a topic',
        description:
          'Asks all nodes for their subscribers: WebSockets, event streams and held requests. If answered is less than asked, some nodes did not answer within a second, and their subscribers are not counted.',
        parameters: [topicParameter, traceparentParameter],
        answers: {
          200: {
            description: 'The topic as it is now.',
            content: {
              'application/json': {
                schema: object(['topic', 'level', 'subscribers', 'nodes'], {
                  topic: topicSchema,
                  level: levelSchema,
                  epoch: {
                    oneOf: [epochSchema, { type: 'null' }],
                    description:
                      'Of the newest publication. Missing at level fast; null if the topic has no history yet.',
                  },
                  offset: {
                    oneOf: [offsetSchema, { type: 'null' }],
                    description:
                      'Of the newest publication. Missing at level fast; null if the topic has no history yet.',
                  },
                  subscribers: { type: 'integer', minimum: 0, description: 'Subscribers on the nodes that answered.' },
                  nodes: object(['asked', 'answered'], {
                    asked: { type: 'integer', minimum: 1, description: 'Nodes that may have subscribers.' },
                    answered: { type: 'integer', minimum: 1, description: 'Those of them that answered.' },
                  }),
                }),
              },
            },
          },
        },
        problems: [
          ...(['malformed', 'invalidTopic', 'notPermitted', 'originNotAllowed'] as const),
          ...(['rateLimited', 'overloaded', 'unavailable'] as const),
        ],
      },
      handle: (exchange) => onTopicInfo(exchange, context),
    },
    {
      method: 'get',
      path: '/v1/topics',
      operation: {
        id: 'topics',
        summary: 'List the topics that have a history',
        description:
          'A page of topics, in no particular order. A topic may be on several pages, and a page may have more topics than limit, fewer, or none: read until next is null. If the broker requires tokens, only API keys may list topics.',
        parameters: [
          {
            name: 'prefix',
            in: 'query',
            description: 'How the topics begin.',
            schema: { type: 'string', maxLength: maxTopicBytes },
            example: 'orders.',
          },
          { name: 'cursor', in: 'query', description: '"next" of the previous page.', schema: { type: 'string' } },
          {
            name: 'limit',
            in: 'query',
            description: 'How many topics a page should have.',
            schema: { type: 'integer', minimum: 1, maximum: maxListLimit, default: defaultListLimit },
          },
          traceparentParameter,
        ],
        answers: {
          200: {
            description: 'A page.',
            content: {
              'application/json': {
                schema: object(['topics', 'next'], {
                  topics: { type: 'array', items: topicSchema },
                  next: { type: ['string', 'null'], description: 'The cursor of the next page; null at the end.' },
                }),
              },
            },
          },
        },
        problems: ['malformed', 'notPermitted', 'originNotAllowed', 'overloaded', 'unavailable'],
      },
      handle: (exchange) => onTopics(exchange, context),
    },
    {
      method: 'post',
      path: '/v1/commands',
      operation: {
        id: 'commands',
        summary: 'Carry out commands of the protocol',
        description: `For clients without a WebSocket: one command of PROTOCOL.md section 5, or an array of at most ${maxCommands}. connect, ping, publish and history are possible.`,
        parameters: [traceparentParameter],
        body: {
          description: 'A JSON frame of the protocol.',
          content: { 'application/json': { schema: { type: ['object', 'array'] }, example: { type: 'ping', id: 1 } } },
        },
        answers: {
          200: {
            description: 'All commands succeeded. The replies, in the order of the commands.',
            content: { 'application/json': { schema: { type: 'array', items: { type: 'object' } } } },
          },
          207: {
            description: 'Some commands failed; their replies have the type error.',
            content: { 'application/json': { schema: { type: 'array', items: { type: 'object' } } } },
          },
        },
        problems: [
          ...(['malformed', 'notPermitted', 'originNotAllowed', 'contentTooLarge', 'unsupportedMediaType'] as const),
          ...(['requestTimeout', 'rateLimited', 'overloaded', 'unavailable'] as const),
        ],
      },
      handle: (exchange) => onCommands(exchange, context),
    },
  ];
}
