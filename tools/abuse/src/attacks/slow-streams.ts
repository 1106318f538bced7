/** Event streams whose clients read nothing. */
import { type Attack, attack } from '../attack.js';
import { addressOf } from '../attackers.js';
import { serviceKey, tokenOf } from '../keys.js';
import { requestLines } from './http-requests.js';

const streams = 50;
const perSecond = 150;
/** Longer than the idle timeout. Then the clients read again, and see that their streams have ended. */
const asleepSeconds = 14;

export const slowStreams: Attack = attack({
  name: 'unread-streams',
  about: `${streams} event streams of a topic with ${perSecond} publications of 32 KB a second, whose clients read nothing`,
  settings: { FANFARE_IDLE_TIMEOUT_SECONDS: '8' },
  // The head has arrived before they stop reading.
  answers: ['HTTP 200', 'cut off'],
  besides: ['event gap', 'left open'],
  // A stream whose client reads nothing for the idle timeout is dropped.
  leastSeconds: asleepSeconds + 1,
  run: async (attackers) => {
    const writer = await attackers.enterWith(serviceKey);
    const data = 'x'.repeat(32_000);
    const readers = Array.from({ length: streams }, (_, n) => {
      const peer = attackers.dial({
        from: addressOf(n),
        head: requestLines('GET', '/v1/events?topic=wide', tokenOf(`attacker-${n}`), 'Accept: text/event-stream'),
      });
      void peer.status.then(() => peer.pause());
      attackers.sent++;
      return peer;
    });
    await attackers.pace(perSecond, (n) => {
      if (n < asleepSeconds * perSecond) writer?.send({ type: 'publish', topic: 'wide', data });
      else if (n === asleepSeconds * perSecond) for (const reader of readers) reader.resume();
    });
  },
});
