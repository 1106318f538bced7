/** How the answer of an event stream begins, and what a client gets instead of a stream. */
import type { Exchange } from '../http/exchange.js';
import type { Problem } from '../http/problem.js';
import { eventText, unavailableRetryField } from './event-text.js';
import type { StreamCounters } from './stream-context.js';
import type { StreamResponse } from './stream-response.js';

export const streamHeaders = {
  'Content-Type': 'text/event-stream',
  // Proxies may neither keep nor rewrite it: Varnish would show the stream of one client to another.
  'Cache-Control': 'no-store, no-transform',
  // nginx would otherwise collect events before it passes them on.
  'X-Accel-Buffering': 'no',
} as const;

/**
 * A client that returns after the end of a stream opens another connection, so that a load balancer can choose another
 * node. `end(…, true)` of uWebSockets cannot close it: after `write` it puts a header into the body.
 */
const closingStreamHeaders = { ...streamHeaders, Connection: 'close' } as const;

/**
 * Sends the head together with the first events: Firefox reports the connection as open only after the first byte.
 * `keepsConnection`: the client sends its next request on the same connection.
 */
export function beginStream(exchange: Exchange, events: string, keepsConnection: boolean): StreamResponse {
  return exchange.begin(keepsConnection ? streamHeaders : closingStreamHeaders, events);
}

/**
 * An EventSource never returns after another status than 200. So it gets a temporary refusal as an event, and the
 * stream ends. Other clients get the problem.
 */
export function refuseStream(
  exchange: Exchange,
  problem: Problem,
  counters: Pick<StreamCounters, 'streamsUnavailable'>,
): void {
  if (!exchange.isOpen) return;
  const { code, detail, retryable } = problem.body;
  if (retryable !== true || !isEventSource(exchange)) return exchange.refuse(problem);
  counters.streamsUnavailable++;
  exchange.report(problem);
  exchange.answerLast(unavailableRetryField() + eventText('unavailable', { code, detail }, null), streamHeaders);
}

function isEventSource(exchange: Exchange): boolean {
  return exchange.header('accept').includes('text/event-stream') && exchange.header('fanfare-client') === '';
}
