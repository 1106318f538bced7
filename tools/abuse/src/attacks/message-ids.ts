/** A `messageId` that another publisher is about to use. */
import { randomUUID } from 'node:crypto';
import { type Attack, attack } from '../attack.js';

const pairs = 5;

export const foreignMessageId: Attack = attack({
  name: 'foreign-message-id',
  about: `${pairs} users publish with messageIds that another user has just used on the same topic`,
  answers: ['reply published'],
  besides: ['left open'],
  run: async (attackers) => {
    await attackers.crowd(pairs, async (member) => {
      const [first, second] = [await attackers.enterAs(`attacker-${member}`), await attackers.enterAs(`ada-${member}`)];
      const command = { type: 'publish', topic: `chat.${member}`, messageId: randomUUID() };
      const [before, after] = [
        await first?.ask({ ...command, data: 'x' }),
        await second?.ask({ ...command, data: 'y' }),
      ];
      attackers.sent += 2;
      if (offsetOf(before) === offsetOf(after))
        attackers.fault('a node mistook a publication for one of another publisher, and suppressed it');
      await Promise.all([first?.end(), second?.end()]);
    });
  },
});

function offsetOf(published: string | undefined): string | undefined {
  return /"offset":(\d+)/.exec(published ?? '')?.[1];
}
