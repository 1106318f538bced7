/** The route of event streams, with its documentation. */
import { maxWaitSeconds } from '../http/history-request.js';
import type { Route } from '../http/route.js';
import { topicSchema, traceparentParameter } from '../http/schemas.js';
import type { StreamContext } from './stream-context.js';
import { maxStreamTopics, onEvents } from './stream-request.js';

const idSchema = {
  type: 'string',
  description: 'The positions of all topics, in the order of the URL, joined with ".": the id of an event.',
  examples: ['1764563000000000-42.1764563000000007-3'],
};

export function streamRoutes(context: StreamContext): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/v1/events',
      operation: {
        id: 'events',
        summary: 'Receive publications',
        description:
          'An event stream (server-sent events) of the publications of some topics. With one topic, the data of a message is the data of the publication. With several, or with envelope=1, it is an object with topic, epoch, offset and data, and with key and remove if the publication has a key. The first event is named ready; its data has the newest positions of the topics, and heartbeatMs, the longest time between two comments. If some of several topics are unavailable, it lists them in unavailable, the stream continues with the others, and another ready follows when that changes. Losses are the events gap and reset. A client that sends Accept: text/event-stream without Fanfare-Client gets temporary refusals as the event unavailable with status 200, because an EventSource does not return after another status.',
        parameters: [
          {
            name: 'topic',
            in: 'query',
            required: true,
            description: 'A topic. Repeat it for several.',
            schema: { type: 'array', items: topicSchema, minItems: 1, maxItems: maxStreamTopics },
          },
          {
            name: 'since',
            in: 'query',
            description:
              'Where the stream begins: the id of an event of a stream of the same topics, or "now". In an id, "now" stands for the position of a topic that was not in the stream.',
            schema: { ...idSchema, default: 'now' },
          },
          {
            name: 'envelope',
            in: 'query',
            description: 'Whether one topic gets envelopes too.',
            schema: { type: 'integer', enum: [0, 1], default: 0 },
          },
          {
            name: 'wait',
            in: 'query',
            description:
              'End the stream after the first publications, or after this many seconds (long polling). 0: at once.',
            schema: { type: 'integer', minimum: 0, maximum: maxWaitSeconds },
          },
          {
            name: 'ticket',
            in: 'query',
            description: 'A ticket of POST /v1/tickets, for browsers. The ids of the stream then contain a credential.',
            schema: { type: 'string' },
          },
          {
            name: 'Last-Event-ID',
            in: 'header',
            description: 'The id of the last event that the client has seen. It takes precedence over since.',
            schema: idSchema,
          },
          traceparentParameter,
        ],
        answers: {
          200: { description: 'Events.', content: { 'text/event-stream': { schema: { type: 'string' } } } },
        },
        problems: [
          'malformed',
          'invalidTopic',
          'tooManySubscriptions',
          'notPermitted',
          'originNotAllowed',
          'rateLimited',
          'overloaded',
          'unavailable',
        ],
      },
      handle: (exchange) => onEvents(exchange, context),
    },
  ];
}
