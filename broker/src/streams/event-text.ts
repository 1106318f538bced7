/** The events of a stream that are not publications, and the fields around them. */
import type { Position, Topic } from '@fanfare/protocol';

/** Events with a name of their own. No topic is ever a name: a page listens to `open` and `error` for other reasons. */
export const eventNames = ['ready', 'gap', 'reset', 'goaway', 'unsubscribed', 'tokenExpired', 'unavailable'] as const;
export type EventName = (typeof eventNames)[number];

/** `data` is written as JSON. `id`: null for an event that does not change the id of the client. */
export function eventText(name: EventName, data: object, id: string | null): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n${id === null ? '' : `id: ${id}\n`}\n`;
}

/** The data of `gap` and `reset`. */
export function placeOf(topic: Topic, position: Position | null): object {
  return { topic, ...position };
}

/** A comment: nothing for the client, but something for the proxies on the way. */
export const heartbeat = ':\n\n';

/** When a client that loses its stream connects again, in milliseconds. No client spreads this itself. */
const retryMs = [1_000, 3_000] as const;
/** The same while the node cannot serve it. */
const unavailableRetryMs = [2_000, 10_000] as const;

export function retryField(): string {
  return `retry: ${randomIn(retryMs)}\n`;
}

export function unavailableRetryField(): string {
  return `retry: ${randomIn(unavailableRetryMs)}\n`;
}

function randomIn([least, most]: readonly [number, number]): number {
  return least + Math.floor(Math.random() * (most - least + 1));
}
