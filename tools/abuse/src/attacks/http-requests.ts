/** Requests that publish or read over HTTP: slow, endless, too long, too many, or not what they claim to be. */
import { type Attack, attack } from '../attack.js';
import { type Attackers, addressOf } from '../attackers.js';
import { serviceKey, tokenOf } from '../keys.js';

/** The lines of the head of a request, without the last empty one. */
export function requestLines(method: string, path: string, token: string, ...headers: readonly string[]): string[] {
  return [`${method} ${path} HTTP/1.1`, 'Host: localhost', `Authorization: Bearer ${token}`, ...headers];
}

const json = 'Content-Type: application/json';
const slowRequests = 200;
const slowPerSecond = 20;

export const slowPublications: Attack = attack({
  name: 'slow-publications',
  about: `${slowRequests} requests that publish, one or a batch, and whose body comes byte by byte`,
  answers: ['HTTP 408'],
  // A reset follows the answer if more of the body arrives, and may overtake it.
  besides: ['cut off'],
  // The node waits 5 s for a body.
  leastSeconds: 7,
  run: async (attackers) => {
    const paths = ['/v1/topics/slow/publications', '/v1/publications', '/v1/commands'];
    const peers = Array.from({ length: slowRequests }, (_, n) => {
      const lines = requestLines('POST', paths[n % paths.length] ?? '', serviceKey, json, 'Content-Length: 4000');
      return attackers.dial({ from: addressOf(n), head: lines });
    });
    attackers.sent = slowRequests;
    await attackers.pace(slowPerSecond, (turn) => {
      // Half of them stop after 3 s: a byte behind the answer resets the connection, and the answer may be lost.
      for (const peer of turn < 3 * slowPerSecond ? peers : peers.slice(slowRequests / 2)) peer.write(' ');
    });
  },
});

export const endlessHeaders: Attack = attack({
  name: 'endless-headers',
  about:
    'requests for an event stream whose head never ends: a header of 1 KB every 10 ms, 20 connections again and again',
  answers: ['HTTP 431'],
  // The next header resets the connection, and may overtake the answer. The last requests may end with the attack.
  besides: ['cut off', 'left open'],
  leastSeconds: 2,
  run: async (attackers) => {
    const line = `X-More: ${'x'.repeat(1_000)}\r\n`;
    await attackers.crowd(20, async (member) => {
      const peer = attackers.dial({ from: addressOf(member) });
      peer.write(`${requestLines('GET', '/v1/events?topic=good.0', serviceKey).join('\r\n')}\r\n`);
      attackers.sent++;
      await attackers.until(() => {
        peer.write(line);
        return peer.isClosed;
      });
      await peer.end();
    });
  },
});

const wrongBodies: readonly (readonly [path: string, type: string, body: string])[] = [
  ['/v1/topics/good.0/publications', 'application/json', '[object ReadableStream]'],
  ['/v1/topics/good.0/publications', 'application/msgpack', '\xc1\xc1\xc1'],
  ['/v1/topics/good.0/publications', 'text/plain', '1'],
  ['/v1/publications', 'application/x-ndjson', '{"topic":"good.0","data":1}\n{"topic":"good.0","data":'],
  ['/v1/publications', 'application/json', '{"publications":[{"topic":"good.0","data":1},{"topic":" ","data":2}]}'],
  ['/v1/publications', 'application/json', '['.repeat(50_000)],
  [
    '/v1/commands',
    'application/json',
    '[{"type":"publish","id":1,"topic":"good.0","data":1},{"type":"nothing","id":2}',
  ],
];

export const wrongRequests: Attack = attack({
  name: 'wrong-requests',
  about: 'bodies that are broken after a good publication, or of another type, 300 requests a second',
  answers: ['HTTP 400', 'HTTP 415'],
  besides: ['left open'],
  run: (attackers) =>
    attackers.pace(300, (n) => {
      const [path, type, body] = wrongBodies[n % wrongBodies.length] as (typeof wrongBodies)[number];
      const bytes = Buffer.from(body, 'latin1');
      const headers = [`Content-Type: ${type}`, `Content-Length: ${bytes.length}`];
      const peer = attackers.dial({ from: addressOf(n), head: requestLines('POST', path, serviceKey, ...headers) });
      peer.write(bytes);
      void peer.status.then(() => peer.end());
      attackers.sent++;
    }),
});

export const longBodies: Attack = attack({
  name: 'long-bodies',
  about: 'bodies of 1 GB by their length, and chunked bodies without end, 10 connections again and again',
  answers: ['HTTP 413'],
  besides: ['cut off', 'left open'],
  leastSeconds: 2,
  run: async (attackers) => {
    const piece = 'x'.repeat(32_768);
    const chunk = `8000\r\n${piece}\r\n`;
    await attackers.crowd(10, async (member) => {
      const isChunked = member % 2 === 1;
      const length = isChunked ? 'Transfer-Encoding: chunked' : 'Content-Length: 1000000000';
      const lines = requestLines('POST', '/v1/publications', serviceKey, json, length);
      const peer = attackers.dial({ from: addressOf(member), head: lines });
      attackers.sent++;
      await attackers.until(() => {
        peer.write(isChunked ? chunk : piece);
        return peer.isClosed;
      });
      await peer.end();
    });
  },
});

export const publicationFlood: Attack = attack({
  name: 'http-publish-flood',
  about: 'batches of 20 publications, 10 connections of one subject each, again and again',
  answers: ['HTTP 200', 'HTTP 207'],
  // The first items of most batches are within the rate.
  besides: ['HTTP 429', 'left open'],
  leastSeconds: 2,
  run: async (attackers) => {
    await attackers.crowd(10, async (member) => {
      const publications = Array.from({ length: 20 }, () => ({ topic: `flood.${member}`, data: 'x'.repeat(100) }));
      const body = JSON.stringify({ publications });
      const headers = [json, `Content-Length: ${body.length}`];
      const peer = attackers.dial({
        from: addressOf(member),
        head: requestLines('POST', '/v1/publications', tokenOf(`attacker-${member}`), ...headers),
      });
      peer.write(body);
      attackers.sent++;
      await peer.status;
      await peer.end();
    });
  },
});

/** Opens requests that stay open, this many a second. */
async function hold(attackers: Attackers, perSecond: number, lines: (n: number) => string[]): Promise<void> {
  await attackers.pace(perSecond, (n) => {
    attackers.dial({ from: addressOf(n), head: lines(n) });
    attackers.sent++;
  });
}

export const heldRequests: Attack = attack({
  name: 'held-requests',
  about: '500 long polls a second of 50 subjects; the node holds each for 5 s',
  answers: ['HTTP 204', 'HTTP 429'],
  // Refused clients that keep their connections use up the room for new ones.
  besides: ['cut off', 'left open'],
  leastSeconds: 7,
  run: (attackers) =>
    hold(attackers, 500, (n) =>
      requestLines('GET', '/v1/topics/silent/publications?since=now&wait=5', tokenOf(`attacker-${n % 50}`)),
    ),
});

export const streamFlood: Attack = attack({
  name: 'stream-flood',
  about: '300 event streams a second of one subject',
  answers: ['HTTP 200', 'event unavailable'],
  // A node that refuses a stream closes its connection.
  besides: ['cut off', 'left open'],
  leastSeconds: 1,
  run: (attackers) => {
    const token = tokenOf('attacker');
    return hold(attackers, 300, () =>
      requestLines('GET', '/v1/events?topic=silent', token, 'Accept: text/event-stream'),
    );
  },
});
