/** Checks opening handshakes (RFC 6455 section 4.2.1), and chooses the encoding. */
import { type Encoding, endpointPath, maxTokenBytes, subprotocols } from '@fanfare/protocol';
import type { Credential } from '../session/authentication.js';

/** A request, as this file needs it. */
export interface HandshakeRequest {
  method(): string;
  path(): string;
  /** The value of a header, by its name in lower case. Several lines of one name are joined as `a, b`. */
  header(name: string): string;
  /** Empty if it is missing. */
  query(name: string): string;
}

/** The handshake is valid. The answer repeats `subprotocol`, which is empty if the client offered none. */
interface Accepted {
  readonly encoding: Encoding;
  readonly subprotocol: string;
  /** Null if the handshake has neither token nor ticket. */
  readonly credential: Credential | null;
}

/** Where a request comes from. */
export interface Requester {
  /** Empty if the header is missing. */
  readonly origin: string;
  readonly remoteAddress: string;
  readonly forwardedFor: string;
}

/** The answer to a refused request. */
export interface HttpRefusal {
  readonly status: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly sentence: string;
  /** The part of the sentence that repeats the request: for the client, not for the log. */
  readonly quoted?: string;
}

export function judgeHandshake(request: HandshakeRequest): Accepted | HttpRefusal {
  if (request.path() !== endpointPath) {
    return refuse('404 Not Found', `Not found. The WebSocket endpoint is ${endpointPath}.`);
  }
  const method = request.method().toUpperCase();
  if (method !== 'GET' && method !== 'HEAD') {
    return refuse(
      '405 Method Not Allowed',
      `A WebSocket handshake uses GET, not ${method}.`,
      { Allow: 'GET, HEAD' },
      method,
    );
  }
  // HEAD is answered like GET, but never opens a connection.
  const upgrade = method === 'HEAD' ? '' : request.header('upgrade').toLowerCase();
  if (upgrade === '') {
    return refuse('426 Upgrade Required', 'This is a WebSocket endpoint. Connect with a WebSocket client.', {
      Upgrade: 'websocket',
      Connection: 'Upgrade',
    });
  }
  if (!listed(upgrade, 'websocket') || !listed(request.header('connection').toLowerCase(), 'upgrade')) {
    return refuse('400 Bad Request', 'A WebSocket handshake needs "Upgrade: websocket" and "Connection: Upgrade".');
  }
  const version = request.header('sec-websocket-version');
  if (version !== '13') {
    const quoted = printable(version);
    const sentence = `Sec-WebSocket-Version must be 13, not "${quoted}".`;
    return refuse('426 Upgrade Required', sentence, { 'Sec-WebSocket-Version': '13' }, quoted);
  }
  if (!/^[A-Za-z0-9+/]{22}==$/.test(request.header('sec-websocket-key'))) {
    return refuse('400 Bad Request', 'Sec-WebSocket-Key must be 16 random bytes in base64.');
  }
  const credential = credentialOf(request);
  if (credential !== null && credential.text.length > maxTokenBytes) {
    return refuse('431 Request Header Fields Too Large', `The token is longer than ${maxTokenBytes} bytes.`);
  }
  const offer = request.header('sec-websocket-protocol');
  if (offer === '') return { encoding: 'json', subprotocol: '', credential };
  for (const offered of offer.split(',')) {
    for (const [encoding, subprotocol] of Object.entries(subprotocols)) {
      if (offered.trim() === subprotocol) return { encoding: encoding as Encoding, subprotocol, credential };
    }
  }
  const known = Object.values(subprotocols).join(', ');
  const quoted = printable(offer);
  const sentence = `Unsupported subprotocol "${quoted}". Offer one of ${known}, or none for JSON.`;
  return refuse('400 Bad Request', sentence, {}, quoted);
}

function credentialOf(request: HandshakeRequest): Credential | null {
  const token = bearerOf(request.header('authorization'));
  if (token !== null) return { kind: 'token', text: token };
  const ticket = request.query('ticket');
  return ticket === '' ? null : { kind: 'ticket', text: ticket };
}

/** The token of an `Authorization` header (RFC 6750 section 2.1); null if there is none. */
export function bearerOf(authorization: string): string | null {
  return /^bearer +([^ ]+) *$/i.exec(authorization)?.[1] ?? null;
}

/** A node that is shutting down accepts no connection. */
export const refuseDraining: HttpRefusal = {
  status: '503 Service Unavailable',
  headers: { 'Retry-After': '1' },
  sentence: 'This node is shutting down. Reconnect to reach another node.',
};

function refuse(
  status: string,
  sentence: string,
  headers: Readonly<Record<string, string>> = {},
  quoted = '',
): HttpRefusal {
  return { status, headers, sentence, quoted };
}

function listed(header: string, token: string): boolean {
  return header.split(',').some((part) => part.trim() === token);
}

/** Text from a client, made safe to repeat in a sentence. */
export function printable(text: string): string {
  return text.slice(0, 100).replace(/[^\x20-\x7e]/g, '?');
}
