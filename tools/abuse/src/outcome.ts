/**
 * What an attacker gets to see: the status of an HTTP answer, a close code, the code of an error, `reply` and its type; `cut off`: the
 * node ended the connection and said nothing; `left open`: the attacker ended it.
 */
export type Outcome =
  | `HTTP ${number}`
  | `close ${number}`
  | `error ${string}`
  | `reply ${string}`
  | 'pong frame'
  | 'cut off'
  | 'left open';
