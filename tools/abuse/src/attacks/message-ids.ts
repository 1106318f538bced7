/** A `messageId` that another publisher is going to use. */
import { randomUUID } from 'node:crypto';
import { type Attack, attack } from '../attack.js';

const pairs = 5;

export const foreignMessageId: Attack = attack({
  name: 'foreign-message-id',
  about: `${pairs} users publish with messageIds that another one has used on the same topic just before`,
  answers: ['reply published'],
  besides: ['left open'],
  run: async (raid) => {
    await raid.crowd(pairs, async (member) => {
      const [mallory, ada] = [await raid.enterAs(`mallory-${member}`), await raid.enterAs(`ada-${member}`)];
      const command = { type: 'publish', topic: `chat.${member}`, messageId: randomUUID() };
      const [before, after] = [
        await mallory?.ask({ ...command, data: 'x' }),
        await ada?.ask({ ...command, data: 'y' }),
      ];
      raid.sent += 2;
      if (offsetOf(before) === offsetOf(after))
        raid.fault('a publication was taken for one of another publisher, and suppressed');
      await Promise.all([mallory?.end(), ada?.end()]);
    });
  },
});

function offsetOf(published: string | undefined): string | undefined {
  return /"offset":(\d+)/.exec(published ?? '')?.[1];
}
