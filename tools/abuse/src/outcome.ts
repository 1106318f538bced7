/**
 * The outcomes that an attacker sees: the status of an HTTP answer, a close code, the code of an error, `reply` and its type; `cut off`: the
 * node closed the connection without a message; `left open`: the attacker ended it.
 */
export type Outcome =
  | `HTTP ${number}`
  | `close ${number}`
  | `error ${string}`
  | `reply ${string}`
  | 'pong frame'
  | 'cut off'
  | 'left open';
