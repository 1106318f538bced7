/** A running broker: parses its URL, and explains why it cannot be reached. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { subprotocols } from '@fanfare/protocol';
import { WebSocket } from 'ws';
import { UsageError } from './options.js';

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
  /** Null: the protocol's own. */
  readonly path: string | null;
  readonly token: string | null;
}

const connectTimeoutMs = 10_000;

export function parseTarget(text: string, token: string | null): Target {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'ws:' && url.protocol !== 'wss:')) {
    throw new UsageError(`--url must look like ws://127.0.0.1:8080/ws or wss://host/ws, not "${text}".`);
  }
  const isTls = url.protocol === 'wss:';
  const port = url.port === '' ? (isTls ? 443 : 80) : Number(url.port);
  const path = `${url.pathname === '/' ? '/ws' : url.pathname}${url.search}`;
  return { host: url.hostname, port, isTls, path, token };
}

/** Connects once, so that a wrong URL is reported in one sentence, and not by thousands of clients. */
export async function checkBroker(url: string, token: string | null): Promise<Target> {
  const target = parseTarget(url, token);
  const { host, port, isTls, path } = target;
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  const socket = new WebSocket(`${isTls ? 'wss' : 'ws'}://${host}:${port}${path}`, subprotocols.json, {
    headers,
    handshakeTimeout: connectTimeoutMs,
  });
  // `terminate` below emits another error if the handshake has not ended.
  socket.on('error', () => {});
  // The library's own error leaves out the name of the status.
  socket.once('unexpected-response', (_, { statusCode = 0, statusMessage = '' }: IncomingMessage) => {
    const question = questions[statusCode] ?? '.';
    socket.emit('error', new Error(`it answered "${statusCode} ${statusMessage}" and opened no WebSocket${question}`));
  });
  try {
    await once(socket, 'open');
    return target;
  } catch (error) {
    throw new Error(`Cannot connect to ${url}: ${causeOf(error as NodeJS.ErrnoException, target)}`);
  } finally {
    socket.terminate();
  }
}

const causes: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'its name could not be looked up',
  EPROTO: 'the server there does not speak TLS; use ws://',
  ERR_SSL_WRONG_VERSION_NUMBER: 'the server there does not speak TLS; use ws://',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'the server there does not speak TLS; use ws://',
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
  // A server that expects TLS does this too.
  if (code === 'ECONNRESET' && !isTls) return 'it closed the connection without an answer; is it wss://?';
  return message.endsWith('?') ? message : `${message.trim().replace(/\.$/, '')}.`;
}
