/**
 * The baseline: plain uWebSockets.js, with nothing on top. A socket at `/subscribe/<topic>,<topic>…` subscribes to
 * these topics. A message at `/publish` begins with its topic (after a byte with the length of the topic). Settings
 * that affect the cost have the values of a Fanfare node.
 *
 * It publishes in the handler, as the examples of uWebSockets.js do. With `--deferred`, it keeps messages until the
 * handler has returned. uWebSockets has one cork, and in the handler the publisher has it. So a burst of 64 costs 55
 * `sendto` calls per subscriber instead of 2 (strace).
 */
import uWebSockets from 'uWebSockets.js';

const settings = {
  compression: uWebSockets.DISABLED,
  idleTimeout: 60,
  maxBackpressure: 1_048_576,
  maxPayloadLength: 16 * 1_048_576,
} as const;

const isDeferred = process.argv.includes('--deferred');
const app = uWebSockets.App();
const waiting: { readonly topic: string; readonly data: ArrayBuffer; readonly isBinary: boolean }[] = [];

function publishWaiting(): void {
  for (const { topic, data, isBinary } of waiting) app.publish(topic, data, isBinary);
  waiting.length = 0;
}

/** Passes the topics from the handshake to `open`, which follows at once. So sockets need no data of ours. */
let opening = '';

app.ws('/subscribe/*', {
  ...settings,
  upgrade: (response, request, context) => {
    opening = request.getUrl().slice('/subscribe/'.length);
    response.upgrade(
      {},
      request.getHeader('sec-websocket-key'),
      request.getHeader('sec-websocket-protocol'),
      request.getHeader('sec-websocket-extensions'),
      context,
    );
  },
  open: (socket) => {
    for (const topic of opening.split(',')) socket.subscribe(topic);
  },
});

app.ws('/publish', {
  ...settings,
  message: (_socket, message, isBinary) => {
    const bytes = Buffer.from(message);
    const start = 1 + bytes.readUInt8(0);
    const topic = bytes.toString('latin1', 1, start);
    // The bytes are the socket's again when the handler returns; `publish` copies them.
    if (!isDeferred) {
      app.publish(topic, bytes.subarray(start), isBinary);
      return;
    }
    if (waiting.length === 0) setImmediate(publishWaiting);
    waiting.push({ topic, data: message.slice(start), isBinary });
  },
});

app.listen('127.0.0.1', 0, (listening) => {
  if (!listening) throw new Error('The raw server cannot listen on 127.0.0.1.');
  const port = uWebSockets.us_socket_local_port(listening);
  process.stdout.write(`${JSON.stringify({ event: 'listening', port })}\n`);
});
