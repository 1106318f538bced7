/**
 * The floor: uWebSockets.js as its plain user writes it, with nothing on top. A socket at `/subscribe/<topic>` is subscribed to
 * that topic, what comes at `/publish/<topic>` is published to it, message for message. The settings that cost something are
 * those of a Fanfare node.
 *
 * Its user publishes in the handler, as the examples do. With `--deferred` messages are kept until the handler has returned: in
 * it, uWebSockets' only cork belongs to the publisher, and a burst of 64 costs 55 `sendto` calls a subscriber, not 2 (strace).
 */
import uWebSockets from 'uWebSockets.js';

const settings = {
  compression: uWebSockets.DISABLED,
  idleTimeout: 60,
  maxBackpressure: 1_048_576,
  maxPayloadLength: 65_536,
} as const;

const isDeferred = process.argv.includes('--deferred');
const app = uWebSockets.App();
const waiting: { readonly topic: string; readonly message: ArrayBuffer; readonly isBinary: boolean }[] = [];

function publishLater(topic: string, message: ArrayBuffer, isBinary: boolean): void {
  if (waiting.length === 0) setImmediate(publishWaiting);
  // The bytes are the socket's again when the handler returns.
  waiting.push({ topic, message: message.slice(0), isBinary });
}

function publishWaiting(): void {
  for (const { topic, message, isBinary } of waiting) app.publish(topic, message, isBinary);
  waiting.length = 0;
}

for (const topic of ['many', 'one']) {
  app.ws(`/subscribe/${topic}`, {
    ...settings,
    open: (socket) => {
      socket.subscribe(topic);
    },
  });
  app.ws(`/publish/${topic}`, {
    ...settings,
    message: (_socket, message, isBinary) => {
      if (isDeferred) publishLater(topic, message, isBinary);
      else app.publish(topic, message, isBinary);
    },
  });
}

// A topic for each socket, for the memory that topics take.
let ownTopics = 0;
app.ws('/subscribe/*', {
  ...settings,
  open: (socket) => {
    socket.subscribe(`own-${ownTopics++}`);
  },
});

app.listen('127.0.0.1', 0, (listening) => {
  if (!listening) throw new Error('The raw server cannot listen on 127.0.0.1.');
  process.stdout.write(
    `${JSON.stringify({ event: 'listening', port: uWebSockets.us_socket_local_port(listening) })}\n`,
  );
});
