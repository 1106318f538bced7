/** One subject that is idle for a while, and then publishes to all nodes at once. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Attack, attack } from '../attack.js';

/** Defaults of docs/configuration.md: rate per second, and burst. */
const perSecond = 50;
const burst = 2 * perSecond;
/** The number that a node may accept before it learns what the others have accepted. */
const slackOfNode = 0.2 * burst;

const silentMs = 4_000;

export const burstsAfterSilence: Attack = attack({
  name: 'bursts-after-silence',
  about: `one subject publishes ${burst * 1.5} times at each node at once, every ${silentMs / 1_000} s`,
  answers: ['reply published', 'error rateLimited'],
  besides: ['left open'],
  leastSeconds: 9,
  leastNodes: 3,
  run: async (attackers) => {
    const peers = await Promise.all(attackers.target.ports.map((port) => attackers.enterAs('attacker', {}, port)));
    const commands = Array.from({ length: burst * 1.5 }, (_, n) => ({
      type: 'publish',
      id: n + 1,
      topic: 'burst',
      data: n,
    }));
    const beganMs = performance.now();
    let excess = { publications: 0, sentence: '' };
    for (let sent = commands.length; !attackers.isOver; sent += commands.length, await delay(silentMs)) {
      for (const peer of peers) peer?.send(...commands);
      attackers.sent += commands.length * peers.length;
      await Promise.all(peers.map((peer) => peer?.answered(sent)));
      const seconds = (performance.now() - beganMs) / 1_000;
      const most = Math.floor(seconds * perSecond + burst + slackOfNode * peers.length);
      const taken = attackers.count('reply published');
      if (taken - most <= excess.publications) continue;
      const sentence = `${taken} publications of one subject were accepted in ${seconds.toFixed(1)} s instead of ${most}`;
      excess = { publications: taken - most, sentence };
    }
    if (excess.publications > 0) attackers.fault(excess.sentence);
  },
});
