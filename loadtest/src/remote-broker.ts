/** A broker that runs already: what its URL says, and why it cannot be reached where it cannot. */
import { UsageError } from './flags.js';
import { Connection, type Target } from './load/connection.js';
import type { Deployment } from './load/deployment.js';
import { protocols } from './protocols/protocols.js';

const connectTimeoutMs = 10_000;

export function parseTarget(text: string, token: string | null): Target {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'ws:' && url.protocol !== 'wss:')) {
    throw new UsageError(`--url must be like ws://127.0.0.1:8080/ws or wss://…, not "${text}".`);
  }
  const isTls = url.protocol === 'wss:';
  const port = url.port === '' ? (isTls ? 443 : 80) : Number(url.port);
  const path = `${url.pathname === '/' ? '/ws' : url.pathname}${url.search}`;
  return { host: url.hostname, port, isTls, path, token };
}

/** Connects once as the load will, so that what is wrong is told once, in one sentence, and not by thousands. */
export async function findBroker(url: string, token: string | null, encoding: 'msgpack' | 'json'): Promise<Deployment> {
  const target = parseTarget(url, token);
  try {
    const connection = await Connection.open({
      protocol: protocols[encoding],
      target,
      localAddress: null,
      role: 'publisher',
      topics: [],
      onPublication: () => undefined,
      onFailure: () => undefined,
      timeoutMs: connectTimeoutMs,
    });
    connection.close();
  } catch (error) {
    throw new Error(`Cannot connect to ${url}: ${causeOf(error as NodeJS.ErrnoException, target)}`);
  }
  return {
    targets: [target],
    processes: [],
    redisPort: null,
    metricsUrls: [],
    [Symbol.asyncDispose]: async () => undefined,
  };
}

const causes: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'its name could not be looked up',
  ERR_SSL_WRONG_VERSION_NUMBER: 'what listens there does not speak TLS; use ws://',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'what listens there does not speak TLS; use ws://',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is not trusted here; name its authority in NODE_EXTRA_CA_CERTS',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is not trusted here; name its authority in NODE_EXTRA_CA_CERTS',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is not trusted here; name its authority in NODE_EXTRA_CA_CERTS',
};

const questions: Readonly<Record<string, string>> = {
  401: '; is the token right?',
  403: '; is the token right?',
  404: '; is the path right?',
};

function causeOf({ code, message }: NodeJS.ErrnoException, { isTls }: Target): string {
  const known = causes[code ?? ''];
  if (known !== undefined) return `${known}.`;
  const [, answer, status] = /HTTP\/1\.\d ((\d+)[^.\r\n]*)/.exec(message) ?? [];
  if (answer !== undefined) return `it answered "${answer}" and opened no WebSocket${questions[status ?? ''] ?? '.'}`;
  // So does what expects TLS, among others.
  if (message === 'The server closed the connection.' && !isTls) {
    return 'it closed the connection without an answer; is it wss://?';
  }
  return `${message.trim().replace(/\.$/, '')}.`;
}
