/** JSON Schemas of the HTTP interface (OpenAPI 3.1), for the documentation of the routes. */
import {
  maxDataDepth,
  maxEpochBytes,
  maxKeyBytes,
  maxMessageIdBytes,
  maxTopicBytes,
  maxTopicSegments,
  replyErrors,
  requestErrors,
} from '@fanfare/protocol';
import { levels } from '../topics/policy.js';
import type { Parameter, Schema } from './route.js';

export const topicSchema: Schema = {
  type: 'string',
  maxLength: maxTopicBytes,
  pattern: `^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+){0,${maxTopicSegments - 1}}$`,
  description: 'Segments of A-Z a-z 0-9 _ - joined by ".".',
  examples: ['orders.42'],
};

export const epochSchema: Schema = {
  type: 'string',
  pattern: `^[A-Za-z0-9_-]{1,${maxEpochBytes}}$`,
  description: 'Names the history of the topic. Offsets of different epochs cannot be compared.',
};

export const offsetSchema: Schema = {
  type: 'integer',
  minimum: 0,
  description: 'Numbers the publications of a history: 1, 2, 3 and so on, without holes.',
};

export const messageIdSchema: Schema = {
  type: 'string',
  pattern: `^[\\x21-\\x7e]{1,${maxMessageIdBytes}}$`,
  description: 'Identifies a publication: a repetition with the same messageId is not published again.',
};

export const keySchema: Schema = {
  type: 'string',
  pattern: `^[\\x21-\\x7e]{1,${maxKeyBytes}}$`,
  description: 'What the publication is about, such as the id of an order.',
};

export const removeSchema: Schema = {
  type: 'boolean',
  description: 'Whether the publication removes what was published with its key.',
};

export const positionSchema: Schema = {
  type: 'string',
  description: 'A position as text: epoch, "-", offset.',
  examples: ['1764563000000000-42'],
};

export const levelSchema: Schema = { type: 'string', enum: levels, description: 'What the topic promises.' };

export const dataSchema: Schema = {
  description: `Any JSON value, nested at most ${maxDataDepth} deep. Subscribers get its text unchanged.`,
};

export function object(required: readonly string[], properties: Readonly<Record<string, Schema>>): Schema {
  return { type: 'object', required, properties };
}

export const acceptedSchema = object(['topic'], {
  topic: topicSchema,
  epoch: epochSchema,
  offset: offsetSchema,
  messageId: messageIdSchema,
  duplicate: { type: 'boolean', description: 'Whether it had been published before, at this position.' },
});

const failureMembers: Readonly<Record<string, Schema>> = {
  code: { type: 'string', enum: [...Object.keys(replyErrors), ...Object.keys(requestErrors)] },
  detail: { type: 'string', description: 'One sentence: what is wrong and what to do.' },
  retryable: { type: 'boolean', description: 'Whether the same request may succeed later.' },
  maybeDelivered: { type: 'boolean', description: 'Whether subscribers may have received the publication.' },
  retryAfterMs: { type: 'integer', minimum: 1, description: 'When to retry, in milliseconds from now.' },
};

export const resultSchema: Schema = {
  oneOf: [
    object(['topic', 'status'], {
      ...(acceptedSchema['properties'] as Record<string, Schema>),
      status: { const: 200 },
    }),
    object(['topic', 'status', 'code', 'detail', 'retryable', 'maybeDelivered'], {
      topic: topicSchema,
      messageId: messageIdSchema,
      status: { type: 'integer', minimum: 400, maximum: 599 },
      ...failureMembers,
    }),
  ],
};

export const problemSchema = object(['type', 'title', 'status', 'detail', 'code', 'retryable', 'maybeDelivered'], {
  type: { const: 'about:blank' },
  title: { type: 'string' },
  status: { type: 'integer' },
  ...failureMembers,
  topic: { ...topicSchema, description: 'The topic of a single publication.' },
  messageId: {
    ...messageIdSchema,
    description: 'The messageId of a single publication: repeat the request with it as Idempotency-Key.',
  },
  maxBytes: { type: 'integer', minimum: 1, description: 'The longest body, if this one is longer.' },
  results: {
    type: 'array',
    items: resultSchema,
    description: 'The outcome of each publication of a batch. None was accepted.',
  },
});

export const topicParameter: Parameter = {
  name: 'topic',
  in: 'path',
  required: true,
  description: 'The topic.',
  schema: topicSchema,
  example: 'orders.42',
};

export const traceparentParameter: Parameter = {
  name: 'traceparent',
  in: 'header',
  description: 'W3C Trace Context; returned in the answer.',
  schema: { type: 'string' },
};
