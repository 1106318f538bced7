/** Opens a {@link HeldPoll}, or answers why not. */
import type { Exchange } from '../http/exchange.js';
import type { HistoryQuery } from '../http/history-request.js';
import { tokenOf } from '../http/http-context.js';
import { problemOf, problemOfRefusal } from '../http/problem.js';
import { noHistoryError } from '../relay/history.js';
import { HeldPoll } from './held-poll.js';
import type { StreamContext } from './stream-context.js';

export function onPoll(exchange: Exchange, context: StreamContext, query: HistoryQuery): void {
  exchange.keepHeaders();
  if (!context.relay.hasHistory(query.topic)) return exchange.refuse(problemOf(noHistoryError(query.topic), false));
  const admitted = context.host.admit(exchange.requester);
  if ('status' in admitted) return exchange.refuse(problemOfRefusal(admitted));
  const token = tokenOf(exchange);
  new HeldPoll(context, query, admitted.address, exchange).start(
    token === null ? null : { kind: 'token', text: token },
  );
}
