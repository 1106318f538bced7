/** Clients that request much data, and read nothing for three seconds. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Attack, attack } from '../attack.js';
import type { Attackers } from '../attackers.js';
import { serviceKey } from '../keys.js';
import type { Outcome } from '../outcome.js';

const readers = 10;
const asleepMs = 3_000;
/** The longest time for which a client reads afterwards, in case the node no longer responds. */
const mostReadingMs = 5_000;
/** The length of the history that the attack publishes, and that each reader requests. */
const publications = 100;
const questions = 50;

export const slowHistory: Attack = attack({
  name: 'unread-histories',
  about: `${readers} connections that ask for a history of 400 KB fifty times, and read nothing for 3 s`,
  answers: ['reply history', 'error overloaded'],
  // On a busy machine Redis does not send all of it within its timeout.
  besides: ['reply published', 'error unavailable', 'left open'],
  leastSeconds: 5,
  run: async (attackers) => {
    const writer = await attackers.enterAs('attacker');
    for (let n = 1; n <= publications; n++)
      writer?.send({ type: 'publish', id: n, topic: 'long', data: 'x'.repeat(4_000) });
    await Promise.race([writer?.answered(publications), delay(mostReadingMs)]);
    await attackers.crowd(readers, async (member, turn) => {
      const peer = await attackers.enterAs(`attacker-${member}-${turn}`);
      peer?.pause();
      for (let n = 1; n <= questions; n++) peer?.send({ type: 'history', id: n, topic: 'long', limit: 1_000 });
      attackers.sent += questions;
      await delay(asleepMs);
      peer?.resume();
      await Promise.race([peer?.answered(questions), delay(mostReadingMs)]);
      await peer?.end();
    });
  },
});

async function sleep(attackers: Attackers): Promise<void> {
  const writer = await attackers.enterWith(serviceKey);
  const data = 'x'.repeat(32_000);
  const asleep = attackers.crowd(readers, async (member, turn) => {
    const peer = await attackers.enterAs(`attacker-${member}-${turn}`);
    peer?.send({ type: 'subscribe', id: 1, topic: 'wide' });
    peer?.pause();
    await delay(asleepMs);
    peer?.resume();
    await Promise.race([peer?.ended, delay(1_000)]);
    await peer?.end();
  });
  await attackers.pace(150, () => {
    writer?.send({ type: 'publish', topic: 'wide', data });
    attackers.sent++;
  });
  await asleep;
}

const unread = `subscribers that read nothing for 3 s of a topic with 150 publications of 32 KB a second`;
const besides: readonly Outcome[] = ['reply subscribed', 'cut off', 'left open'];

export const slowSubscribers: Attack = attack({
  name: 'unread-publications',
  about: `${readers} ${unread}`,
  answers: ['close 4002'],
  besides,
  leastSeconds: 5,
  run: sleep,
});

export const unreadTogether: Attack = attack({
  name: 'unread-together',
  about: `the same, if the node has room for 4 MiB`,
  settings: { FANFARE_MAX_BUFFERED_BYTES: '67108864', FANFARE_MAX_TOTAL_BUFFERED_BYTES: '4194304' },
  answers: ['close 4007'],
  besides,
  leastSeconds: 5,
  run: sleep,
});
