/** `npm run subscribe -- <topic> [url]`: prints what is published to a topic. */
import { createClient } from '@fanfare/client';

const [topic, url = 'ws://127.0.0.1:8080/ws'] = process.argv.slice(2);

if (topic === undefined) {
  process.stderr.write('Say which topic: npm run subscribe -- news\n');
  process.exit(2);
}

const client = createClient(url);
client.on('state', (state) => {
  if (state.name === 'connecting' && state.attempt > 0) process.stderr.write(`${state.reason}; trying again.\n`);
});
client.on('error', (error) => process.stderr.write(`${error.message}\n`));
process.on('SIGINT', () => void client.close());

const subscription = client.subscribe(topic);
subscription.on('subscribed', () => process.stderr.write(`Subscribed to ${topic}. Ctrl+C ends.\n`));
subscription.on('gap', () => process.stderr.write('Some publications may have been lost here.\n'));
for await (const { data } of subscription) process.stdout.write(`${topic} ${JSON.stringify(data)}\n`);
