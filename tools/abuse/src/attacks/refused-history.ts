/** A topic that the token grants and the hook refuses. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Attack, attack } from '../attack.js';
import { secretTopic } from '../hook.js';
import { serviceKey } from '../keys.js';

const readers = 10;

export const refusedHistory: Attack = attack({
  name: 'refused-history',
  about: `every way to read a topic that the hook refuses, ${readers} connections again and again`,
  hasHook: true,
  answers: ['error notPermitted'],
  // If the backend is late, on a busy machine, that is a refusal too.
  besides: ['reply published', 'error unavailable', 'left open'],
  run: async (attackers) => {
    const writer = await attackers.enterWith(serviceKey);
    const published = await writer?.ask({ type: 'publish', topic: secretTopic, data: 'not for attackers' });
    const since = { epoch: /"epoch":"(.+?)"/.exec(published ?? '')?.[1] ?? '', offset: 0 };
    const questions = [
      { type: 'subscribe' },
      { type: 'subscribe', since },
      { type: 'history' },
      { type: 'history', since },
      { type: 'history', direction: 'backward' },
    ];
    await attackers.crowd(readers, async (member) => {
      const peer = await attackers.enterAs(`attacker-${member}`);
      while (peer !== null && !peer.isClosed && !attackers.isOver) {
        for (const question of questions) await peer.ask({ ...question, topic: secretTopic });
        attackers.sent += questions.length;
        await delay(250);
      }
    });
  },
});
