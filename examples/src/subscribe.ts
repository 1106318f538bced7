/** `npm run subscribe -- <topic> [url]`: prints the publications of a topic. */
import { endWith, openClient, readArguments } from './command-line.js';

const usage = `Usage: npm run subscribe -- <topic> [url]
Prints the publications of the topic as JSON. The url of a node is optional; default ws://127.0.0.1:8080/ws.
If the node requires a token, set FANFARE_TOKEN.
Example: npm run subscribe -- news`;

const [topic, url = 'ws://127.0.0.1:8080/ws'] = readArguments(usage, 1, 2) as [string, string?];

try {
  await subscribe(topic, url);
} catch (error) {
  endWith(error);
}

async function subscribe(topic: string, url: string): Promise<void> {
  await using client = openClient(url);
  client.on('error', (error) => {
    // A failed attempt to connect is already printed, and the loop throws the final error.
    if (error.code !== 'connectFailed' && error.code !== 'disconnected') process.stderr.write(`${error.message}\n`);
  });
  process.on('SIGINT', () => void client.close());

  const subscription = client.subscribe(topic);
  subscription.on('subscribed', () => process.stderr.write(`Subscribed to ${topic}. Ctrl+C ends.\n`));
  subscription.on('gap', () => process.stderr.write('Some publications may have been lost here.\n'));
  for await (const { data } of subscription) process.stdout.write(`${topic} ${JSON.stringify(data)}\n`);
}
