/**
 * The outcomes that an attacker sees: the status of an HTTP answer, a close code, the code of an error, or `reply` and
 * its type, or `event` and the name of an event of a stream. `cut off` means that the node closed the connection without a message. `left open` means that the attacker
 * ended it.
 */
export type Outcome =
  | `HTTP ${number}`
  | `close ${number}`
  | `error ${string}`
  | `reply ${string}`
  | `event ${string}`
  | 'pong frame'
  | 'cut off'
  | 'left open';
