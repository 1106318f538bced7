/** Opens a {@link HeldPoll}, or answers why not. */
import type { Exchange } from '../http/exchange.js';
import type { HistoryQuery } from '../http/history-request.js';
import { tokenOf } from '../http/http-context.js';
import { Problem, problemOf } from '../http/problem.js';
import { noHistoryError } from '../relay/history.js';
import { admit } from './admission.js';
import { HeldPoll } from './held-poll.js';
import type { StreamContext } from './stream-context.js';

export function onPoll(exchange: Exchange, context: StreamContext, query: HistoryQuery): void {
  exchange.keepHeaders();
  if (!context.relay.hasHistory(query.topic)) return exchange.refuse(problemOf(noHistoryError(query.topic), false));
  const token = tokenOf(exchange);
  const admission = admit(exchange, context, token === null ? null : { kind: 'token', text: token }, true);
  if (admission instanceof Problem) return exchange.refuse(admission);
  new HeldPoll(context, query, admission.address, exchange).start(admission.credential);
}
