/** HTTP to the broker: who answers, its clock, kept connections, and requests with a body. */
import type { Broker } from '../broker.js';
import { httpUrl } from '../broker.js';
import { distanceText } from '../token-report.js';
import { type Answer, type Exchanges, sentenceIn } from './exchange.js';
import type { Report } from './finding.js';
import { durationText } from './network.js';

/** A difference between two clocks that nodes accept in tokens by default (`clockSkewSeconds`), in seconds. */
const acceptedSkewSeconds = 5;

interface HttpFacts {
  /** The clock of the answering server minus the clock of this machine, in milliseconds; null if it is unknown. */
  readonly skewMs: number | null;
  /** Whether a Fanfare node answers requests. */
  readonly isFanfare: boolean;
}

/** Returns null if the server gives no HTTP answer at all. */
export async function checkHttp(broker: Broker, exchanges: Exchanges, report: Report): Promise<HttpFacts | null> {
  const url = httpUrl(broker, '/v1/openapi.json');
  const askedAt = Date.now();
  let answer: Answer;
  try {
    answer = await exchanges.ask(url);
  } catch (error) {
    reportNoAnswer(broker, error as Error, report);
    return null;
  }
  const isFanfare = reportAnswer(url, answer, report);
  const skewMs = reportClock(answer, askedAt, report);
  if (isFanfare) await checkKeepAlive(url, exchanges, report);
  return { skewMs, isFanfare };
}

function reportNoAnswer({ address }: Broker, { message }: Error, report: Report): void {
  const isTls = address.protocol === 'wss:';
  const isSilent = message.startsWith('no answer');
  report({
    verdict: 'problem',
    check: 'http',
    sentence: `The server accepts the connection but gives no HTTP answer: ${message}.`,
    cause: isSilent
      ? 'The process hangs, or a proxy cannot reach the nodes.'
      : isTls
        ? 'The server ends the connection.'
        : 'The server expects TLS, or it is not an HTTP server.',
    advice: isSilent ? 'Check the log of the node and of the proxy.' : isTls ? 'Check its log.' : 'Try wss://.',
  });
}

function reportAnswer(url: URL, answer: Answer, report: Report): boolean {
  const { status, headers, json } = answer;
  const { info } = (json ?? {}) as { readonly info?: { readonly title?: string; readonly version?: string } };
  const via = [headers['server'], headers['via']].filter((name) => name !== undefined && name !== '');
  const through = via.length === 0 ? '' : ` Through ${via.join(', ')}.`;
  if (status === 200 && info?.title === 'Fanfare') {
    report({
      verdict: 'ok',
      check: 'http',
      sentence: `A Fanfare node of version ${info.version} answers HTTP requests (${durationText(answer.ms)}).${through}`,
    });
    return true;
  }
  const says = sentenceIn(answer);
  report({
    verdict: 'problem',
    check: 'http',
    sentence: `${url.pathname} is answered with HTTP ${status}${says === '' ? '.' : `: ${says}`}${through}`,
    ...causeOfStatus(status),
  });
  return false;
}

function causeOfStatus(status: number): { readonly cause: string; readonly advice: string } {
  if (status >= 502 && status <= 504) {
    return {
      cause: 'The proxy has no node that answers.',
      advice: 'Check whether nodes run and are ready (/readyz on their admin port).',
    };
  }
  if (status === 505) {
    return {
      cause: 'The proxy speaks HTTP/1.0 with the node. nginx does that by default.',
      advice: 'nginx: proxy_http_version 1.1 (proxies/nginx.conf).',
    };
  }
  if (status === 404) {
    return {
      cause: 'The proxy passes only the WebSocket path on, another server answers, or the node is of an older release.',
      advice: 'Pass /v1/ to the nodes too (docs/proxies.md), and check the URL.',
    };
  }
  if (status === 401 || status === 403) {
    return {
      cause: 'Something in front of the node asks for a login.',
      advice: 'Let requests to /ws and /v1/ pass: the node checks tokens itself.',
    };
  }
  if (status >= 300 && status < 400)
    return { cause: 'A proxy redirects.', advice: 'Use the URL that it redirects to.' };
  return { cause: 'Another server answers at this address.', advice: 'Check the URL.' };
}

function reportClock({ headers, ms }: Answer, askedAt: number, report: Report): number | null {
  const date = Date.parse(headers.date ?? '');
  if (Number.isNaN(date)) return null;
  // The header has whole seconds, and was written some time between the request and the answer.
  const skewMs = date + 500 - (askedAt + ms / 2);
  const seconds = Math.abs(skewMs) / 1_000;
  if (seconds < acceptedSkewSeconds) {
    report({ verdict: 'ok', check: 'clock', sentence: 'The clocks of the server and of this machine agree.' });
    return skewMs;
  }
  report({
    verdict: 'warning',
    check: 'clock',
    sentence: `The clock of the server is ${distanceText(seconds)} ${skewMs > 0 ? 'ahead of' : 'behind'} the clock of this machine.`,
    cause: 'One of the two machines does not synchronize its clock (NTP).',
    advice: `Correct the clock. Nodes accept tokens with a difference of ${acceptedSkewSeconds} s (clockSkewSeconds).`,
  });
  return skewMs;
}

async function checkKeepAlive(url: URL, exchanges: Exchanges, report: Report): Promise<void> {
  const answer = await exchanges.ask(url).catch(() => null);
  if (answer?.isReused) {
    report({ verdict: 'ok', check: 'keepAlive', sentence: 'Connections stay open for several requests.' });
    return;
  }
  report({
    verdict: 'warning',
    check: 'keepAlive',
    sentence: 'The connection was closed after one request: each publish over HTTP needs a new one.',
    cause: 'The node is shutting down, or a proxy switches keep-alive off.',
    advice: 'If it stays like this, switch keep-alive on in the proxy: with nginx, keepalive_timeout.',
  });
}

/** Whether a request with a body reaches the node, and what the node says of the token. */
export async function checkPost({ token, ...broker }: Broker, exchanges: Exchanges, report: Report): Promise<void> {
  const url = httpUrl({ token, ...broker }, '/v1/commands');
  const check = 'post';
  let answer: Answer;
  try {
    answer = await exchanges.ask(url, { method: 'POST', token, body: [{ type: 'ping', id: 1 }] });
  } catch (error) {
    return report({
      verdict: 'problem',
      check,
      sentence: `A POST request got no answer: ${(error as Error).message}.`,
      cause: 'A proxy holds or refuses requests with a body.',
      advice: 'Check the log of the proxy. Publishing over HTTP needs POST.',
    });
  }
  const { status, json } = answer;
  const [reply] = Array.isArray(json) ? (json as { readonly type?: string }[]) : [];
  if (status === 200 && reply?.type === 'pong') {
    return report({ verdict: 'ok', check, sentence: `POST requests reach the node (${durationText(answer.ms)}).` });
  }
  const { code } = (json ?? {}) as { readonly code?: unknown };
  if (typeof code === 'string') {
    // The check of the token explains refusals.
    const verdict = status === 401 ? 'ok' : 'problem';
    return report({
      verdict,
      check,
      sentence: `POST requests reach the node. It answers ${code}: ${sentenceIn(answer)}`,
    });
  }
  report({
    verdict: 'problem',
    check,
    sentence: `A POST request is answered with HTTP ${status}, not by the node.`,
    cause: 'A proxy or firewall allows only GET, or refuses JSON bodies.',
    advice: 'Allow POST to /v1/. Publishing over HTTP and the fallback transports of the client need it.',
  });
}
