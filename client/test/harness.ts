/** Clients for tests: quick to reconnect, and closed when the test ends. */
import {
  type Client,
  type ClientEvents,
  type ClientOptions,
  createClient,
  type Publication,
  type Subscription,
  type SubscriptionEvents,
} from '@fanfare/client';
import type { TestNode } from './test-node.js';

export const quick = { reconnectBaseDelayMs: 5, reconnectMaxDelayMs: 20 } as const;

/** A client that connects at once, unless `autoConnect` is false. */
export function connect(node: TestNode, options: ClientOptions = {}): Client {
  // The type allows data that JSON cannot carry: tests check that it is refused.
  const client = createClient(node.url, { ...quick, ...options }) as Client;
  if (options.autoConnect !== false) client.connect().catch(() => {});
  return client;
}

/** Collects the events of a name. */
export function record<Name extends keyof ClientEvents>(source: Pick<Client, 'on'>, name: Name): ClientEvents[Name][];
export function record<Name extends keyof SubscriptionEvents>(
  source: Pick<Subscription, 'on'>,
  name: Name,
): SubscriptionEvents[Name][];
export function record(
  source: { on(name: never, listener: (event: unknown) => void): unknown },
  name: string,
): unknown[] {
  const events: unknown[] = [];
  source.on(name as never, (event) => events.push(event));
  return events;
}

/** The data of the next publications of a loop. The subscription continues. */
export async function take(subscription: Subscription, count: number): Promise<unknown[]> {
  const iterator = subscription[Symbol.asyncIterator]();
  const taken: unknown[] = [];
  while (taken.length < count) {
    const { done, value } = await iterator.next();
    if (done === true) break;
    taken.push((value as Publication).data);
  }
  return taken;
}

/** The error that a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('The promise resolved, but a rejection was expected.');
}
