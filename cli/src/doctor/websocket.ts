/** The WebSocket: the handshake, the first answer, the token, the round trip, and how long silence is tolerated. */
import type { Broker } from '../broker.js';
import { distanceText, explainToken, type TokenReport } from '../token-report.js';
import type { Report } from './finding.js';
import { durationText, since } from './network.js';
import { DoctorSocket, type Message, Refusal } from './socket.js';

/** Proxies close a connection that is silent for this long, by default: nginx, AWS load balancers, HAProxy examples. */
const usualIdleMs = 60_000;

const pings = 5;

/** Returns null if there is no working connection. */
export async function checkWebSocket(
  broker: Broker,
  skewMs: number | null,
  report: Report,
): Promise<DoctorSocket | null> {
  const { address, timeoutMs } = broker;
  const startedAt = performance.now();
  let socket: DoctorSocket;
  try {
    socket = await DoctorSocket.open(address, timeoutMs);
  } catch (error) {
    reportRefusal(error as Error, broker, report);
    return null;
  }
  report({ verdict: 'ok', check: 'webSocket', sentence: `The WebSocket handshake works (${since(startedAt)}).` });
  let reply: Message;
  try {
    const { token } = broker;
    reply = await socket.request({ type: 'connect', ...(token === null ? {} : { token }) }, timeoutMs);
  } catch (error) {
    socket.close();
    reportSilence(error as Error, report);
    return null;
  }
  const isAccepted = reply.type === 'connected';
  if (isAccepted) reportConnected(reply, report);
  reportToken(broker, reply, skewMs, report);
  if (!isAccepted) {
    socket.close();
    return null;
  }
  await checkRoundTrip(socket, timeoutMs, report);
  return socket;
}

/** Keeps the connection silent for a while. */
export async function checkIdle(socket: DoctorSocket, seconds: number, report: Report): Promise<void> {
  const startedAt = performance.now();
  await socket.idle(seconds * 1_000);
  const check = 'idle';
  if (socket.closed === null) {
    return report({
      verdict: 'ok',
      check,
      sentence: `A connection without publications stayed open for ${seconds} s.`,
    });
  }
  report({
    verdict: 'problem',
    check,
    sentence: `A connection without publications was closed after ${since(startedAt)}: ${socket.closed}.`,
    cause: 'An idle timeout of a proxy is shorter than the interval in which the node pings.',
    advice: 'Raise the timeout of the proxy (nginx: proxy_read_timeout), or lower FANFARE_PING_INTERVAL_MS.',
  });
}

function reportRefusal(error: Error, { address }: Broker, report: Report): void {
  const sentence = `The WebSocket handshake failed: ${error.message}`;
  report({
    verdict: 'problem',
    check: 'webSocket',
    sentence: endSentence(sentence),
    ...causeOfRefusal(error, address),
  });
}

function causeOfRefusal(error: Error, address: URL): { readonly cause: string; readonly advice: string } {
  if (!(error instanceof Refusal)) {
    return {
      cause: 'A proxy or firewall does not let WebSockets pass, or holds the handshake.',
      advice: 'Check the log of the proxy (docs/proxies.md).',
    };
  }
  const { status, says } = error;
  if (status === 426 || (status === 400 && says.includes('Upgrade'))) {
    return {
      cause: 'A proxy removes the headers Upgrade and Connection, so the node sees a plain request.',
      advice:
        'Pass both on. nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade" (proxies/nginx.conf).',
    };
  }
  if (status === 505) {
    return {
      cause: 'The proxy speaks HTTP/1.0 with the node. nginx does that by default.',
      advice: 'nginx: proxy_http_version 1.1, and the headers Upgrade and Connection (proxies/nginx.conf).',
    };
  }
  if (says.includes('shutting down')) {
    return {
      cause:
        'The node drains, because it is being stopped or deployed, and the load balancer still sends clients to it.',
      advice: 'Retry. If it repeats, let the load balancer check /readyz on the admin port (docs/proxies.md).',
    };
  }
  if (status === 503 || status === 429) {
    return {
      cause: 'The node has too many connections or handshakes, or the proxy has no ready node.',
      advice: 'Check /readyz on the admin port, and the metrics of the nodes (docs/on-call.md).',
    };
  }
  if (status === 502 || status === 504) {
    return { cause: 'The proxy has no node that answers.', advice: 'Check whether nodes run.' };
  }
  if (status === 401 || status === 403) {
    return {
      cause: 'Something in front of the node asks for a login, or refuses this client.',
      advice: 'Let the WebSocket pass: the node checks tokens itself.',
    };
  }
  if (status === 404) {
    return {
      cause: `The path ${address.pathname} is wrong, or another server answers.`,
      advice: 'The WebSocket endpoint of a node is /ws.',
    };
  }
  return {
    cause: 'Another server answers at this address, or a proxy does not pass WebSockets on.',
    advice: 'Check the URL and docs/proxies.md.',
  };
}

function reportSilence({ message }: Error, report: Report): void {
  report({
    verdict: 'problem',
    check: 'firstAnswer',
    sentence: `The WebSocket opened, but the first command got no answer: ${message}.`,
    cause: 'A proxy answers the handshake itself and does not pass data on, or the server is not Fanfare.',
    advice: 'Check the proxy. Clients of @fanfare/client/fallback use event streams in such a network.',
  });
}

function reportConnected({ node, pingIntervalMs }: Message, report: Report): void {
  report({ verdict: 'ok', check: 'firstAnswer', sentence: `The node ${String(node)} answers (protocol version 1).` });
  const seconds = Number(pingIntervalMs) / 1_000;
  if (Number(pingIntervalMs) < usualIdleMs) {
    return report({
      verdict: 'ok',
      check: 'heartbeat',
      sentence: `The node pings every ${seconds} s. Most proxies close a connection after 60 s of silence or later.`,
    });
  }
  report({
    verdict: 'warning',
    check: 'heartbeat',
    sentence: `The node pings only every ${seconds} s. Many proxies close a connection after 60 s of silence.`,
    advice: 'Lower FANFARE_PING_INTERVAL_MS to 25000. --idle 90 shows whether the connection survives.',
  });
}

function reportToken({ token }: Broker, reply: Message, skewMs: number | null, report: Report): void {
  const check = 'token';
  const isAccepted = reply.type === 'connected';
  if (token === null) {
    if (isAccepted) {
      return report({ verdict: 'ok', check, sentence: 'The node accepts clients without a token.' });
    }
    return report({
      verdict: 'problem',
      check,
      sentence: `The node refuses a client without a token: ${String(reply['message'])}`,
      advice: 'Put a token or API key into FANFARE_TOKEN. "fanfare token create" makes one for tests.',
    });
  }
  const explained = explainToken(token, Date.now());
  if (!isAccepted) return reportRefusedToken(explained, reply, skewMs, report);
  const facts = explained.facts.filter((fact) => /^(?:May|Expires|An API key)/.test(fact)).join(' ');
  report({ verdict: 'ok', check, sentence: `The node accepts the token. ${facts}`.trim() });
}

function reportRefusedToken(
  { problems, claims }: TokenReport,
  reply: Message,
  skewMs: number | null,
  report: Report,
): void {
  const said = String(reply['message'] ?? reply['code']);
  const isClock = skewMs !== null && Math.abs(skewMs) > 5_000 && problems.length === 0;
  const { iss } = (claims ?? {}) as { readonly iss?: unknown };
  const issuer = typeof iss === 'string' ? ` The token is from the issuer "${iss}".` : '';
  report({
    verdict: 'problem',
    check: 'token',
    sentence: `The node refuses the token: ${said}`,
    cause: isClock
      ? `The clocks differ by ${distanceText(Math.abs(skewMs) / 1_000)}: what is valid here is expired, or not valid yet, there.`
      : problems.length > 0
        ? problems.join(' ')
        : `The node does not know the key, the issuer or the audience of the token, or the token was revoked.${issuer}`,
    advice: isClock
      ? 'Correct the clocks.'
      : problems.length > 0
        ? 'Get a new token. "fanfare token decode" explains it.'
        : 'Compare "fanfare token decode" with FANFARE_AUTH of the node. The log of the node has the reason (authFailed).',
  });
}

async function checkRoundTrip(socket: DoctorSocket, timeoutMs: number, report: Report): Promise<void> {
  const times: number[] = [];
  for (let count = 0; count < pings; count++) {
    const startedAt = performance.now();
    const isAnswered = await socket.request({ type: 'ping' }, timeoutMs).then(
      () => true,
      () => false,
    );
    if (!isAnswered) {
      return report({
        verdict: 'problem',
        check: 'roundTrip',
        sentence: `A ping got no answer within ${timeoutMs / 1_000} s.`,
        cause: 'The connection leads nowhere, or the node is overloaded.',
        advice: 'Check the node (docs/on-call.md).',
      });
    }
    times.push(performance.now() - startedAt);
  }
  times.sort((one, other) => one - other);
  const median = times[Math.floor(times.length / 2)] ?? 0;
  const slowest = times.at(-1) ?? 0;
  report({
    verdict: 'ok',
    check: 'roundTrip',
    sentence: `A round trip takes ${durationText(median)} (median of ${pings}; the slowest took ${durationText(slowest)}).`,
  });
}

function endSentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
