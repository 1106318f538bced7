/** HTTP requests and responses of uWebSockets: headers in, refusals out. */
import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import type { HandshakeRequest, HttpRefusal, Requester } from './handshake.js';

/** The value of a header, by its name in lower case; empty if it is missing. */
type ReadHeader = (name: string) => string;

/**
 * Reads the headers. Several lines of one name are joined as one list (RFC 9110 section 5.3). `getHeader` of
 * uWebSockets returns the first line only. A client could then hide the `X-Forwarded-For` of a proxy behind its own,
 * and a second origin would not be checked.
 */
export function headersOf(request: HttpRequest): ReadHeader {
  const headers = new Map<string, string>();
  request.forEach((name, value) => {
    const before = headers.get(name) ?? '';
    headers.set(name, before === '' ? value : `${before}, ${value}`);
  });
  return (name) => headers.get(name) ?? '';
}

export function requesterOf(response: HttpResponse, header: ReadHeader): Requester {
  return {
    origin: header('origin'),
    remoteAddress: remoteAddressOf(response),
    forwardedFor: header('x-forwarded-for'),
  };
}

export function remoteAddressOf(response: HttpResponse): string {
  return Buffer.from(response.getRemoteAddressAsText()).toString('latin1');
}

export function handshakeOf(request: HttpRequest, header: ReadHeader): HandshakeRequest {
  return {
    method: () => request.getMethod(),
    path: () => request.getUrl(),
    header,
    query: (name) => request.getQuery(name) ?? '',
  };
}

export function sendRefusal(response: HttpResponse, { status, headers, sentence }: HttpRefusal, isHead: boolean): void {
  const body = Buffer.from(`${sentence}\n`);
  response.cork(() => {
    response.writeStatus(status);
    for (const [name, value] of Object.entries(headers)) response.writeHeader(name, value);
    response.writeHeader('Content-Type', 'text/plain; charset=utf-8');
    // Any page may read the sentence: it is for the author of that page, and contains no secret.
    response.writeHeader('Access-Control-Allow-Origin', '*');
    if (isHead) endWithoutBody(response, body.length);
    else response.end(body, true);
  });
}

/**
 * The binary of uWebSockets.js for Node 20 is an older version of the library than the binaries for Node 22 and 24. Its
 * `endWithoutBody` terminates the process, or keeps the socket open forever if there is an abort handler.
 */
const isOldLibrary = process.versions.node.startsWith('20.');

/** Ends the answer to a HEAD request with the length that the body of GET has (RFC 9110 section 9.3.2), and closes. */
export function endWithoutBody(response: HttpResponse, bodyLength: number): void {
  if (!isOldLibrary) {
    response.endWithoutBody(bodyLength, true);
    return;
  }
  if (bodyLength === 0) {
    response.end('', true);
    return;
  }
  let isClosed = false;
  response.onAborted(() => {
    isClosed = true;
  });
  response.writeHeader('Connection', 'close');
  response.tryEnd('', bodyLength);
  // The library sends the head when its own callback returns.
  setImmediate(() => {
    if (!isClosed) response.close();
  });
}
