/**
 * Publishes one JSON value, and prints the answer of the broker. Needs Node 20 or later without packages.
 *   node publish.mjs <topic> <json> [key]
 * FANFARE_URL: http://localhost:8080 if unset. FANFARE_TOKEN: a token or an API key, if the broker requires one.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

/** Waits and repeats for at most this time. */
const giveUpMs = 60_000;

/** Returns the answer: topic, epoch, offset, messageId, duplicate. */
export async function publish(topic, json, key = randomUUID()) {
  const { FANFARE_URL: url = 'http://localhost:8080', FANFARE_TOKEN: token } = process.env;
  const giveUpAt = Date.now() + giveUpMs;
  for (let attempt = 0; ; attempt++) {
    let failure;
    let retryAfter = null;
    try {
      const response = await fetch(`${url}/v1/topics/${topic}/publications`, {
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          // One key for all attempts: the broker publishes once, however often this repeats the request.
          'Idempotency-Key': key,
          ...(token ? { Authorization: `Bearer ${token}` } : {}),
        },
        body: json,
        signal: AbortSignal.timeout(10_000),
      });
      const answer = await response.json().catch(() => null);
      if (response.status === 200 && answer !== null) return answer;
      failure = answer?.detail ?? `Status ${response.status}.`;
      retryAfter = response.headers.get('Retry-After');
      if (![200, 408, 429, 500, 502, 503, 504].includes(response.status)) throw new PublishError(failure);
    } catch (error) {
      if (error instanceof PublishError) throw error;
      // No answer. The broker may have published it: the key makes repeating safe.
      failure = `The broker did not answer: ${error.cause?.message ?? error.message}`;
    }
    const waitMs = retryAfter === null ? Math.min(200 * 2 ** attempt, 5_000) : Number(retryAfter) * 1_000;
    // A random part: many publishers must not all return at once.
    const spreadMs = waitMs * (1 + Math.random() / 2);
    if (Date.now() + spreadMs > giveUpAt) throw new PublishError(`Gave up: ${failure}`);
    await delay(spreadMs);
  }
}

class PublishError extends Error {}

const [topic, json, key] = process.argv.slice(2);
try {
  process.stdout.write(`${JSON.stringify(await publish(topic, json, key))}\n`);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
