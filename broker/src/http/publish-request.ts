/** `POST /v1/topics/{topic}/publications`: publishes the body. */
import {
  explainInvalidTopic,
  type OutgoingReply,
  type Publish,
  parseTopic,
  ReplyError,
  type Topic,
} from '@fanfare/protocol';
import { BodyRequest } from './body-request.js';
import { type Exchange, ok } from './exchange.js';
import { callerOf, type HttpContext, type Sender } from './http-context.js';
import { Problem, problemOf } from './problem.js';
import { acceptedText, newMessageId, readData, readIdempotencyKey } from './publication.js';

export function onPublish(exchange: Exchange, context: HttpContext): void {
  const key = readIdempotencyKey(exchange.header('idempotency-key'));
  new PublishRequest(exchange, context, topicOf(exchange), exchange.header('content-type'), key).receive(
    context.maxFrameBytes,
  );
}

class PublishRequest extends BodyRequest {
  /** Without history, nothing would recognize one that the client did not choose. */
  #messageId: string | null;

  constructor(
    exchange: Exchange,
    context: HttpContext,
    private readonly topic: Topic,
    private readonly contentType: string,
    key: string | null,
  ) {
    super(exchange, context);
    this.#messageId = key ?? (context.parts.relay.hasHistory(topic) ? newMessageId() : null);
  }

  protected override carryOut(body: Uint8Array, sender: Sender): void {
    const { encoding, bytes, start, end } = readData(this.contentType, body);
    const messageId = this.#messageId;
    const { topic } = this;
    const command: Publish = { type: 'publish', id: 1, topic, messageId, repeat: false, encoding, bytes, start, end };
    callerOf(sender, this.context, this).submit(command);
  }

  override onReply(reply: OutgoingReply): void {
    const { topic, exchange } = this;
    const messageId = this.#messageId;
    if (reply.type === 'published') return exchange.answer(ok, `{${acceptedText(topic, messageId, reply)}}`);
    if (reply.type !== 'error') return;
    const { code, message, retryAfterMs } = reply;
    const problem = problemOf(new ReplyError(code, message, retryAfterMs), true);
    const members = { topic, ...(messageId === null ? {} : { messageId }) };
    exchange.refuse(new Problem(problem.code, problem.message, { ...problem.details, members }));
  }
}

/** The topic in the path. Throws Problem. */
export function topicOf(exchange: Pick<Exchange, 'parameter'>): Topic {
  const topic = parseTopic(exchange.parameter);
  if (topic === null) throw new Problem('invalidTopic', explainInvalidTopic(exchange.parameter));
  return topic;
}
