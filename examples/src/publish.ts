/** `npm run publish -- <topic> <json> [url]`: publishes one value, and prints whether the broker accepted it. */
import { FanfareError } from '@fanfare/client';
import { endWith, openClient, readArguments } from './command-line.js';

const usage = `Usage: npm run publish -- <topic> <json> [url]
Publishes a value to the topic. The url of a node is optional; default ws://127.0.0.1:8080/ws.
If the node requires a token, set FANFARE_TOKEN.
Example: npm run publish -- news '{"title":"hello"}'`;

const [topic, text, url = 'ws://127.0.0.1:8080/ws'] = readArguments(usage, 2, 3) as [string, string, string?];

try {
  await publish(topic, parse(text), url);
} catch (error) {
  endWith(error);
}

async function publish(topic: string, data: unknown, url: string): Promise<void> {
  const client = openClient(url);
  // Each failed attempt is already printed.
  client.on('error', () => {});
  try {
    await client.publish(topic, data);
    process.stdout.write(`Published to ${topic}.\n`);
  } catch (error) {
    // The cause of the wait says more than the timeout.
    throw error instanceof FanfareError && error.code === 'timeout' ? (error.cause ?? error) : error;
  } finally {
    await client.close();
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${text} is not JSON: write a string as '"hello"', an object as '{"a":1}'.`);
  }
}
