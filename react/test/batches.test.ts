/** What happens to the other components if React throws while one of them is notified. */
import { createClient } from '@fanfare/client';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startNode } from '../../broker/test/harness.js';
import { deliverAll, enqueue } from '../src/batches.js';
import { choiceOf } from '../src/topic-options.js';
import { topicSource } from '../src/topic-source.js';

const environment = globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean };

/** Only `deliverAll()` delivers. */
beforeEach(() => {
  environment.IS_REACT_ACT_ENVIRONMENT = true;
});
afterEach(() => {
  delete environment.IS_REACT_ACT_ENVIRONMENT;
});

function fail(): never {
  throw new Error('too many renders');
}

it('delivers all stores, and then throws', () => {
  const delivered: string[] = [];
  enqueue({ deliver: () => delivered.push('first') });
  enqueue({ deliver: fail });
  enqueue({ deliver: () => delivered.push('last') });
  expect(deliverAll).toThrow('too many renders');
  expect(delivered).toEqual(['first', 'last']);
  expect(deliverAll).not.toThrow();
});

it('notifies all components of a store, and then throws', async () => {
  await using node = await startNode({});
  await using client = createClient(node.url);
  const source = topicSource(client, choiceOf('numbers', {}));
  let isNotified = false;
  const leave = source.subscribe(fail);
  const leaveToo = source.subscribe(() => {
    isNotified = true;
  });
  await client.subscribe('numbers').ready;
  expect(deliverAll).toThrow('too many renders');
  expect(isNotified).toBe(true);
  leave();
  leaveToo();
});
