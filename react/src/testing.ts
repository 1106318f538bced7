/**
 * For tests of components that use `@fanfare/react`.
 * @module
 */
import { act } from 'react';
import { deliverAll } from './batches.js';

/**
 * Renders everything that has arrived so far. While React's test environment is on (`IS_REACT_ACT_ENVIRONMENT`), nothing
 * else renders publications, gaps and states, so React does not warn about updates outside `act`. Needs React 18.3 or
 * later, and a development build of React.
 *
 * It does not wait for publications that are still on their way. Repeat it until the component shows them:
 *
 * @example
 * await expect.poll(async () => {
 *   await flush();
 *   return page.textContent;
 * }).toBe('hello');
 */
export async function flush(): Promise<void> {
  await act(async () => deliverAll());
}
