/** `GET /v1/topics/{topic}` and `GET /v1/topics`: what the broker knows of topics. */
import { type Command, maxTopicBytes, ReplyError, type Topic } from '@fanfare/protocol';
import { permit } from '../handlers/permit.js';
import { replyError } from '../handlers/reply-error.js';
import type { TopicInfo } from '../relay/relay.js';
import { type Exchange, notStored, ok } from './exchange.js';
import { type HttpContext, identify, type Sender } from './http-context.js';
import { Problem, problemOf } from './problem.js';
import { topicOf } from './publish-request.js';
import { Query } from './query.js';
import { RequestCaller } from './request-caller.js';

/** The maximum topics of a page. */
export const maxListLimit = 1_000;
export const defaultListLimit = 100;

const prefixGrammar = new RegExp(`^[A-Za-z0-9_.-]{0,${maxTopicBytes}}$`);

/** Answers with the level, the position and the subscribers of a topic. */
export function onTopicInfo(exchange: Exchange, context: HttpContext): void {
  const topic = topicOf(exchange);
  new Query(exchange.query, []);
  identify(exchange, context, { onSender: (sender) => new InfoCaller(exchange, context, sender).ask(topic) });
}

/** The sender of a request about a topic. The request needs what `history` needs, and counts like it. */
class InfoCaller extends RequestCaller {
  readonly #exchange: Exchange;
  readonly #context: HttpContext;

  constructor(exchange: Exchange, context: HttpContext, { session }: Sender) {
    super(session, context.sessions, context.parts, {
      onReply: (reply) => {
        if (reply.type !== 'error') return;
        exchange.refuse(problemOf(new ReplyError(reply.code, reply.message, reply.retryAfterMs), false));
      },
    });
    this.#exchange = exchange;
    this.#context = context;
  }

  ask(topic: Topic): void {
    this.submit({ type: 'history', id: 1, topic, since: null, limit: null, direction: null });
  }

  override carryOut(command: Command): void {
    void this.#answer(command);
  }

  async #answer(command: Command): Promise<void> {
    const { parts } = this.#context;
    try {
      permit(command, this, parts);
      if (command.type !== 'history') return;
      const info = await parts.relay.topicInfo(command.topic);
      this.#exchange.answer(ok, JSON.stringify(bodyOf(command.topic, info)), notStored);
    } catch (error) {
      if (error instanceof ReplyError) replyError(command.id, error, this, parts, command);
      else this.#exchange.fail(error);
    }
  }
}

function bodyOf(topic: Topic, { level, position, subscribers }: TopicInfo): object {
  const place = level === 'fast' ? {} : { epoch: position?.epoch ?? null, offset: position?.offset ?? null };
  return { topic, level, ...place, subscribers: subscribers.count, nodes: subscribers.nodes };
}

/** Answers with a page of the topics that have a history. */
export function onTopics(exchange: Exchange, context: HttpContext): void {
  const query = new Query(exchange.query, ['prefix', 'cursor', 'limit']);
  const prefix = query.text('prefix') ?? '';
  if (!prefixGrammar.test(prefix)) {
    throw new Problem('malformed', 'prefix must be the beginning of a topic: at most 200 of A-Z a-z 0-9 _ - and ".".');
  }
  const cursor = query.text('cursor');
  const limit = query.integer('limit', 1, maxListLimit) ?? defaultListLimit;
  const onSender = ({ session }: Sender): void => {
    // A pattern would not help: a page would be read in full to find what a user may see.
    if (session !== null && !session.identity.isService) {
      context.parts.counters.commandsNotPermitted++;
      return exchange.refuse(new Problem('notPermitted', 'The list of topics is for services: use an API key.'));
    }
    context.parts.relay.topics({ prefix, cursor, limit }).then(
      (page) => exchange.answer(ok, JSON.stringify(page), notStored),
      (error) => (error instanceof ReplyError ? exchange.refuse(problemOf(error, false)) : exchange.fail(error)),
    );
  };
  identify(exchange, context, { onSender });
}
