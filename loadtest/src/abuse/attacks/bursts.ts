/** One subject at all nodes, silent for a while, and then at each of them at once. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Attack, attack } from '../attack.js';

/** Defaults of docs/configuration.md: a second, and at once. */
const perSecond = 50;
const burst = 2 * perSecond;
/** Each node sends what it takes to the others ten times a second. */
const slack = 1.2;

const silentMs = 4_000;

export const burstsAfterSilence: Attack = attack({
  name: 'bursts-after-silence',
  about: `one subject publishes ${burst * 1.5} times at each node at once, every ${silentMs / 1_000} s`,
  answers: ['reply published', 'error rateLimited'],
  besides: ['left open'],
  leastSeconds: 9,
  leastNodes: 3,
  run: async (raid) => {
    const peers = await Promise.all(raid.target.ports.map((port) => raid.enterAs('mallory', {}, port)));
    const commands = Array.from({ length: burst * 1.5 }, (_, n) => ({
      type: 'publish',
      id: n + 1,
      topic: 'burst',
      data: n,
    }));
    const beganMs = performance.now();
    let excess = { times: slack, sentence: '' };
    for (let sent = commands.length; !raid.isOver; sent += commands.length, await delay(silentMs)) {
      for (const peer of peers) peer?.send(...commands);
      raid.sent += commands.length * peers.length;
      await Promise.all(peers.map((peer) => peer?.answered(sent)));
      const seconds = (performance.now() - beganMs) / 1_000;
      const most = seconds * perSecond + burst;
      const taken = raid.count('reply published');
      const sentence = `${taken} publications of one subject were accepted in ${seconds.toFixed(1)} s, ${most.toFixed(0)} may be`;
      if (taken / most > excess.times) excess = { times: taken / most, sentence };
    }
    if (excess.sentence !== '') raid.fault(excess.sentence);
  },
});
