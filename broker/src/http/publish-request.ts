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
import { acceptedText, newMessageId, readData, readIdempotencyKey, readKey } from './publication.js';
import { Query } from './query.js';

export function onPublish(exchange: Exchange, context: HttpContext): void {
  const messageId = readIdempotencyKey(exchange.header('idempotency-key'));
  const target = { topic: topicOf(exchange), ...keyOf(exchange) };
  new PublishRequest(exchange, context, target, exchange.header('content-type'), messageId).receive(
    context.maxFrameBytes,
  );
}

type Target = Pick<Publish, 'topic' | 'key' | 'remove'>;

/** `key` and `remove` in the query. Throws Problem. */
function keyOf({ query }: Pick<Exchange, 'query'>): Pick<Publish, 'key' | 'remove'> {
  const parameters = new Query(query, ['key', 'remove']);
  return readKey('', parameters.text('key'), parameters.word('remove', ['true', 'false']) === 'true');
}

class PublishRequest extends BodyRequest {
  /** Without history, nothing would recognize one that the client did not choose. */
  #messageId: string | null;

  constructor(
    exchange: Exchange,
    context: HttpContext,
    private readonly target: Target,
    private readonly contentType: string,
    messageId: string | null,
  ) {
    super(exchange, context);
    this.#messageId = messageId ?? (context.parts.relay.hasHistory(target.topic) ? newMessageId() : null);
  }

  protected override carryOut(body: Uint8Array, sender: Sender): void {
    const { encoding, bytes, start, end } = readData(this.contentType, body);
    const { topic, key, remove } = this.target;
    const head = { type: 'publish', id: 1, topic, messageId: this.#messageId, repeat: false, key, remove } as const;
    callerOf(sender, this.context, this).submit({ ...head, encoding, bytes, start, end });
  }

  override onReply(reply: OutgoingReply): void {
    const { exchange } = this;
    const { topic } = this.target;
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
