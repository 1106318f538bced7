/** `POST /v1/topics/{topic}/publications`: publishes the body. */
import { explainInvalidTopic, type Publish, parseTopic, ReplyError, type Topic } from '@fanfare/protocol';
import { type Exchange, ok } from './exchange.js';
import { callerOf, type HttpContext, receive, type Sender } from './http-context.js';
import { Problem, problemOf } from './problem.js';
import { acceptedText, newMessageId, readData, readIdempotencyKey } from './publication.js';

export function onPublish(exchange: Exchange, context: HttpContext): void {
  const topic = topicOf(exchange);
  const messageId = readIdempotencyKey(exchange.header('idempotency-key'));
  receive(exchange, context, context.maxFrameBytes, (body, sender) => {
    try {
      publish(exchange, context, sender, topic, messageId, body);
    } catch (error) {
      exchange.fail(error);
    }
  });
}

/** The topic in the path. Throws Problem. */
export function topicOf(exchange: Exchange): Topic {
  const topic = parseTopic(exchange.parameter);
  if (topic === null) throw new Problem('invalidTopic', explainInvalidTopic(exchange.parameter));
  return topic;
}

function publish(
  exchange: Exchange,
  context: HttpContext,
  sender: Sender,
  topic: Topic,
  given: string | null,
  body: Uint8Array,
): void {
  const data = readData(exchange.header('content-type'), body);
  // Without history, nothing would recognize it.
  const messageId = given ?? (context.parts.relay.hasHistory(topic) ? newMessageId() : null);
  const caller = callerOf(sender, context, (reply) => {
    if (reply.type === 'published') return exchange.answer(ok, `{${acceptedText(topic, messageId, reply)}}`);
    if (reply.type !== 'error') return;
    const { code, message, retryAfterMs } = reply;
    const problem = problemOf(new ReplyError(code, message, retryAfterMs), true);
    const members = { topic, ...(messageId === null ? {} : { messageId }) };
    exchange.refuse(new Problem(problem.code, problem.message, { ...problem.details, members }));
  });
  const command: Publish = { type: 'publish', id: 1, topic, messageId, repeat: false, ...data };
  caller.submit(command);
}
