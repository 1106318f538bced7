/** A topic: subscribing, event streams that nothing buffers, and a publication that comes back. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { constants, createGunzip } from 'node:zlib';
import { type Broker, httpUrl } from '../broker.js';
import { explainToken } from '../token-report.js';
import { topicInfo } from '../topic-info.js';
import { type Exchanges, sentenceIn } from './exchange.js';
import type { Finding, Report } from './finding.js';
import { durationText, since } from './network.js';
import type { DoctorSocket, Message } from './socket.js';

/** The topic that is subscribed to if the user names none and the broker requires no token. */
const ownTopic = 'fanfare-doctor';

/** A topic that the token permits to subscribe to; null if none is known. */
export function topicFor({ token }: Broker, given: string | undefined): string | null {
  if (given !== undefined) return given;
  if (token === null) return ownTopic;
  const patterns = explainToken(token, Date.now()).grants?.subscribe ?? [];
  return patterns.find((pattern) => !/[*>]/.test(pattern)) ?? null;
}

interface TopicCheck {
  readonly broker: Broker;
  readonly exchanges: Exchanges;
  readonly socket: DoctorSocket | null;
  readonly topic: string;
  /** Whether something may be published. */
  readonly mayPublish: boolean;
  readonly report: Report;
}

export async function checkTopic(check: TopicCheck): Promise<void> {
  const { socket, mayPublish, report } = check;
  await checkNodes(check);
  const isSubscribed = socket !== null && (await checkSubscribe(check, socket));
  const stream = await checkEventStream(check);
  if (!mayPublish) {
    const sentence = 'Nothing was published. --topic <topic> publishes one message and waits until it comes back.';
    report({ verdict: 'skipped', check: 'publish', sentence });
  } else if (isSubscribed) await checkPublish(check, socket, stream);
  stream?.close();
}

/** What all nodes together say. */
async function checkNodes({ broker, topic, report }: TopicCheck): Promise<void> {
  const info = await topicInfo(broker, topic).catch(() => null);
  if (info === null) return;
  const { asked, answered } = info.nodes;
  const check = 'nodes';
  if (asked === answered) {
    const nodes = asked === 1 ? 'One node belongs' : `${asked} nodes belong`;
    return report({ verdict: 'ok', check, sentence: `${nodes} to the broker. ${topic} has the level ${info.level}.` });
  }
  report({
    verdict: 'warning',
    check,
    sentence: `Only ${answered} of ${asked} nodes answered within a second.`,
    cause: 'A node hangs, is overloaded, has lost Redis, or died a few seconds ago.',
    advice: 'Retry in ten seconds. If it stays, check the nodes (docs/on-call.md).',
  });
}

async function checkSubscribe({ broker, topic, report }: TopicCheck, socket: DoctorSocket): Promise<boolean> {
  const check = 'subscribe';
  const startedAt = performance.now();
  let reply: Message;
  try {
    reply = await socket.request({ type: 'subscribe', topic }, broker.timeoutMs);
  } catch (error) {
    const sentence = `Subscribing to ${topic} got no answer: ${(error as Error).message}.`;
    const advice = 'Check the node and Redis (docs/on-call.md).';
    report({ verdict: 'problem', check, sentence, cause: 'The node waits for Redis, or hangs.', advice });
    return false;
  }
  if (reply.type === 'subscribed') {
    report({ verdict: 'ok', check, sentence: `Subscribing to ${topic} works (${since(startedAt)}).` });
    return true;
  }
  report({
    verdict: 'problem',
    check,
    sentence: `The node refuses the subscription to ${topic}: ${reply['message']}`,
    ...causeOf(reply),
  });
  return false;
}

/** Why the node refuses a command. */
function causeOf({ code }: Message): Pick<Finding, 'cause' | 'advice'> {
  switch (code) {
    case 'unavailable':
      return {
        cause: 'The node cannot reach Redis, so it cannot reach the other nodes.',
        advice: 'Check Redis, and /readyz on the admin port of the node: it says what is wrong (docs/on-call.md).',
      };
    case 'notPermitted':
      return {
        cause: 'The token does not permit it.',
        advice: 'Name another topic with --topic, or use another token.',
      };
    case 'overloaded':
    case 'rateLimited':
      return { cause: 'The node or this user has too much to do.', advice: 'Retry later.' };
    case 'invalidTopic':
      return { advice: 'A topic has segments of A-Z a-z 0-9 _ - joined by ".".' };
    default:
      return {};
  }
}

/** An event stream that has begun. */
class Stream {
  readonly #body: Readable;
  #text = '';
  #onText: (() => void) | null = null;
  #hasEnded = false;

  constructor(private readonly response: IncomingMessage) {
    // Browsers accept compressed streams, and some proxies collect a block before they send one.
    const isCompressed = response.headers['content-encoding'] === 'gzip';
    const flush = { flush: constants.Z_SYNC_FLUSH, finishFlush: constants.Z_SYNC_FLUSH };
    this.#body = isCompressed ? response.pipe(createGunzip(flush)) : response;
    this.#body.setEncoding('utf8');
    this.#body.on('data', (chunk: string) => {
      this.#text = (this.#text + chunk).slice(-100_000);
      this.#onText?.();
    });
    for (const part of [response, this.#body]) part.on('error', () => undefined);
    response.on('close', () => {
      this.#hasEnded = true;
      this.#onText?.();
    });
  }

  get status(): number {
    return this.response.statusCode ?? 0;
  }

  get headers(): IncomingMessage['headers'] {
    return this.response.headers;
  }

  get text(): string {
    return this.#text;
  }

  /** Whether the stream contains the text in time. */
  async has(text: string, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (has: boolean): void => {
        clearTimeout(timer);
        this.#onText = null;
        resolve(has);
      };
      const timer = setTimeout(() => settle(false), timeoutMs);
      this.#onText = () => {
        if (this.#text.includes(text)) settle(true);
        else if (this.#hasEnded) settle(false);
      };
      this.#onText();
    });
  }

  close(): void {
    this.response.destroy();
  }
}

/** The answer as soon as its headers are there; `silent`: they did not arrive in time. */
function openStream({ broker, exchanges, topic }: TopicCheck): Promise<Stream | Error | 'silent'> {
  const url = httpUrl(broker, `/v1/events?topic=${encodeURIComponent(topic)}`);
  return new Promise((resolve) => {
    const headers = { Accept: 'text/event-stream', 'Accept-Encoding': 'gzip' };
    const request = exchanges.open(url, { token: broker.token, headers }, (response) => {
      clearTimeout(timer);
      resolve(new Stream(response));
    });
    const timer = setTimeout(() => {
      resolve('silent');
      request.destroy();
    }, broker.timeoutMs);
    request.on('error', (error) => {
      clearTimeout(timer);
      resolve(error);
    });
  });
}

/** The node sends the first event at once. If it does not arrive, something on the way collects the stream. */
async function checkEventStream(topicCheck: TopicCheck): Promise<Stream | null> {
  const { broker, report } = topicCheck;
  const check = 'eventStream';
  const startedAt = performance.now();
  const stream = await openStream(topicCheck);
  if (stream instanceof Error) {
    report({
      verdict: 'problem',
      check,
      sentence: `The event stream failed: ${stream.message}.`,
      advice: 'Check the log of the proxy.',
    });
    return null;
  }
  const hasBegun = stream !== 'silent' && (await stream.has('\n\n', broker.timeoutMs));
  if (stream !== 'silent' && stream.status !== 200) {
    reportRefusedStream(stream, report);
    stream.close();
    return null;
  }
  if (stream === 'silent' || !hasBegun) {
    const part = stream === 'silent' ? 'answer' : 'first event';
    report({
      verdict: 'problem',
      check,
      sentence: `The ${part} of an event stream did not arrive within ${broker.timeoutMs / 1_000} s.`,
      cause: 'A proxy buffers or compresses responses: it waits for more of a stream that only has a few bytes.',
      advice:
        'Switch buffering and compression off for /v1/events. nginx: proxy_buffering off, gzip off (docs/proxies.md).',
    });
    if (stream !== 'silent') stream.close();
    return null;
  }
  if (stream.text.includes('event: unavailable')) {
    const says = /"detail":"([^"]*)"/.exec(stream.text)?.[1] ?? '';
    report({
      verdict: 'problem',
      check,
      sentence: `The node refuses event streams for the moment${says === '' ? '.' : `: ${says}`}`,
      cause: 'The node is full, is shutting down, or cannot reach Redis.',
      advice: 'Retry. If it stays, check /readyz on the admin port.',
    });
    stream.close();
    return null;
  }
  const sentence = `Event streams arrive at once: nothing buffers them (${since(startedAt)}).`;
  report({ verdict: 'ok', check, sentence });
  return stream;
}

function reportRefusedStream({ status, headers, text }: Stream, report: Report): void {
  let json: unknown = null;
  try {
    json = JSON.parse(text);
  } catch {
    // A page of a proxy.
  }
  const says = sentenceIn({ headers, body: text, json });
  const isOfNode = typeof (json as { readonly code?: unknown } | null)?.code === 'string';
  // A refusal of the token or topic is explained by another check.
  const isExplained = isOfNode && (status === 401 || status === 403);
  report({
    verdict: isExplained ? 'skipped' : 'problem',
    check: 'eventStream',
    sentence: `Event streams were not checked: HTTP ${status}${says === '' ? '.' : `: ${says}`}`,
    ...(isExplained || isOfNode
      ? {}
      : { cause: 'A proxy answers for the node.', advice: 'Pass /v1/ to the nodes (docs/proxies.md).' }),
  });
}

async function checkPublish(
  { broker, topic, report }: TopicCheck,
  socket: DoctorSocket,
  stream: Stream | null,
): Promise<void> {
  const check = 'publish';
  const nonce = randomUUID();
  const { timeoutMs } = broker;
  const startedAt = performance.now();
  const arrival = socket
    .next((message) => message.type === 'publications' && JSON.stringify(message).includes(nonce), timeoutMs)
    .then(
      () => performance.now() - startedAt,
      () => null,
    );
  let reply: Message;
  try {
    reply = await socket.request(
      { type: 'publish', topic, data: { fanfareDoctor: nonce }, messageId: nonce },
      timeoutMs,
    );
  } catch (error) {
    reply = { type: 'error', message: `${(error as Error).message}.` };
  }
  if (reply.type !== 'published') {
    return report({
      verdict: 'problem',
      check,
      sentence: `Publishing to ${topic} failed: ${reply['message']}`,
      ...causeOf(reply),
    });
  }
  const ms = await arrival;
  if (ms === null) {
    return report({
      verdict: 'problem',
      check,
      sentence: `The node accepted a publication to ${topic}, but it did not come back within ${timeoutMs / 1_000} s.`,
      cause: 'Redis accepts publications and does not deliver them to this node.',
      advice: 'Check /readyz on the admin port, and Redis (docs/on-call.md).',
    });
  }
  report({ verdict: 'ok', check, sentence: `A publication to ${topic} came back after ${durationText(ms)}.` });
  if (stream === null) return;
  const isStreamed = await stream.has(nonce, timeoutMs);
  report(
    isStreamed
      ? { verdict: 'ok', check: 'eventStreamPublication', sentence: 'It arrived in the event stream too.' }
      : {
          verdict: 'problem',
          check: 'eventStreamPublication',
          sentence: `It did not arrive in the event stream within ${timeoutMs / 1_000} s.`,
          cause: 'A proxy buffers or compresses what follows the first event.',
          advice: 'Switch buffering and compression off for /v1/events (docs/proxies.md).',
        },
  );
}
