/** Messages of Fanfare in both encodings. */
import type { ServerMessage } from '@fanfare/protocol';
import type { Events } from './protocol.js';

/** `onForeign`: a publication without a stamp, not of this load. */
export function readFanfareMessage(message: ServerMessage | null, events: Events, onForeign: () => void): void {
  switch (message?.type) {
    case 'publications':
      return onForeign();
    case 'connected':
      return events.greeted();
    case 'subscribed':
    case 'unsubscribed':
      return events.confirmed(1);
    case 'published':
      return events.acknowledged(1);
    case 'error':
      return events.refused(`${message.code}: ${message.message}`);
    default:
      // A gap, a reset, or an invitation to move. Missing publications are counted elsewhere.
      return;
  }
}
