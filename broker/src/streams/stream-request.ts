/** `GET /v1/events`: reads the request, and opens the stream. */
import { explainInvalidTopic, isToken, maxTokenBytes, parseTopic, type Topic } from '@fanfare/protocol';
import type { Exchange } from '../http/exchange.js';
import { maxWaitSeconds } from '../http/history-request.js';
import { tokenOf } from '../http/http-context.js';
import { Problem } from '../http/problem.js';
import { Query } from '../http/query.js';
import type { Credential } from '../session/authentication.js';
import { admit } from './admission.js';
import { EventStream } from './event-stream.js';
import { refuseStream, streamHeaders } from './stream-answer.js';
import type { StreamContext, StreamStart } from './stream-context.js';
import { parseStreamId, type StreamId } from './stream-id.js';

/** The maximum number of topics of one stream: each event contains the positions of all. */
export const maxStreamTopics = 32;

/** Opens a stream, or answers why not. */
export function onEvents(exchange: Exchange, context: StreamContext): void {
  exchange.keepHeaders();
  const query = new Query(exchange.query, ['topic', 'since', 'envelope', 'wait', 'ticket'], ['topic']);
  const topics = topicsOf(query, context);
  const waitSeconds = query.integer('wait', 0, maxWaitSeconds);
  const isEnvelope = query.integer('envelope', 0, 1) === 1 || topics.length > 1;
  const lastEventId = exchange.header('last-event-id');
  const id = lastEventId === '' ? null : idOf('Last-Event-ID', lastEventId, topics);
  const since = id ?? sinceOf(query, topics);
  const credential = credentialOf(exchange, query, context, id, topics);
  if (exchange.isHead) return exchange.answerEmpty('200 OK', { 'Content-Type': streamHeaders['Content-Type'] });
  const admission = admit(exchange, context, credential, waitSeconds !== null);
  if (admission instanceof Problem) return refuseStream(exchange, admission, context.counters);
  const start: StreamStart = { topics, since: since?.positions ?? null };
  const stream = new EventStream(context, start, admission.address, exchange, {
    form: isEnvelope ? 'envelope' : 'bare',
    waitSeconds,
    needsCredential: credential !== null && credential.kind !== 'token',
  });
  stream.start(admission.credential);
}

function topicsOf(query: Query, { maxSubscriptions, registry }: StreamContext): readonly Topic[] {
  const texts = query.list('topic');
  if (texts.length === 0) throw new Problem('malformed', 'Name at least one topic: /v1/events?topic=news.');
  const most = Math.min(maxStreamTopics, maxSubscriptions);
  if (texts.length > most) {
    throw new Problem('tooManySubscriptions', `A stream can have at most ${most} topics. Open several streams.`);
  }
  const topics = texts.map((text) => {
    const topic = parseTopic(text);
    if (topic === null) throw new Problem('invalidTopic', explainInvalidTopic(text));
    // One text for all streams of a topic.
    return registry.audienceOf(topic)?.topic ?? topic;
  });
  const twice = topics.find((topic, index) => topics.indexOf(topic) !== index);
  if (twice !== undefined) throw new Problem('malformed', `The topic ${twice} is in the URL twice.`);
  return topics;
}

function sinceOf(query: Query, topics: readonly Topic[]): StreamId | null {
  const text = query.text('since');
  return text === null || text === 'now' ? null : idOf('since', text, topics);
}

function idOf(name: string, text: string, topics: readonly Topic[]): StreamId {
  const id = parseStreamId(text);
  if (id === null) {
    throw new Problem('malformed', `${name} must be the id of an event of this stream, such as 1764563000000000-42.`);
  }
  if (id.positions.length !== topics.length) {
    const counts = `${id.positions.length} positions, but the URL has ${topics.length} topics`;
    throw new Problem('malformed', `${name} has ${counts}. It must be the id of an event of a stream of these topics.`);
  }
  return id;
}

/**
 * The credential of the request, the most explicit one first. A browser repeats a ticket that is used up already. So the
 * id, which proves the same, comes before it. The id in `since` is no credential, because URLs are logged.
 */
function credentialOf(
  exchange: Exchange,
  query: Query,
  context: StreamContext,
  id: StreamId | null,
  topics: readonly Topic[],
): Credential | null {
  const token = tokenOf(exchange);
  const ticket = query.text('ticket');
  const credential: Credential | null =
    token !== null
      ? { kind: 'token', text: token }
      : id !== null && id.credential !== null
        ? { kind: 'resumed', text: id.credential, topics }
        : ticket !== null
          ? { kind: 'ticket', text: ticket }
          : cookieCredentialOf(exchange, context);
  if (credential !== null && !isToken(credential.text)) {
    throw new Problem('invalidToken', `The token is longer than ${maxTokenBytes} bytes.`);
  }
  return credential;
}

function cookieCredentialOf(exchange: Exchange, { cookieName, origins }: StreamContext): Credential | null {
  if (cookieName === null) return null;
  // Any site can make a browser send its cookie. Only pages that are allowed by name may use it.
  const origin = exchange.header('origin');
  if (origin === '' && exchange.header('sec-fetch-site') === 'cross-site') return null;
  if (origin !== '') {
    if (!(origins instanceof Set) || !origins.has(origin)) return null;
    exchange.allowCredentials();
  }
  for (const part of exchange.header('cookie').split(/[;,]/)) {
    const at = part.indexOf('=');
    if (at < 0 || part.slice(0, at).trim() !== cookieName) continue;
    return { kind: 'token', text: part.slice(at + 1).trim() };
  }
  return null;
}
