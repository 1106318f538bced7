/** New topics in each command, to fill the tables of topics. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Attack, attack } from '../attack.js';

const connections = 5;
const atOnce = 20;

export const topicChurn: Attack = attack({
  name: 'topic-churn',
  about: `${connections} connections with up to 2000 commands a second each, each for a different topic; half of them are not permitted`,
  settings: {
    FANFARE_COMMAND_RATE: '1000000',
    FANFARE_TOPICS: '{"mine.>":{"historySize":10},"*.fast.>":{"level":"fast"},"a.*.c":{"historySize":20}}',
  },
  answers: ['error notPermitted', 'reply history'],
  // The answer to a `history` while others of the connection are pending.
  besides: ['left open', 'error overloaded'],
  run: (attackers) =>
    attackers.crowd(connections, async (member) => {
      const peer = await attackers.enterAs(`attacker-${member}`, { topics: ['mine.>', 'a.*.c', '*.b.>'] });
      for (let n = 0; peer !== null && !peer.isClosed && !attackers.isOver; n += atOnce) {
        const commands = Array.from({ length: atOnce }, (_, i) => {
          const name = `${member}-${n + i}`;
          return i % 2 === 0
            ? { type: 'subscribe', id: i + 1, topic: `yours.${name}` }
            : { type: 'history', id: i + 1, topic: `mine.${name}` };
        });
        peer.send(...commands);
        attackers.sent += atOnce;
        await delay(10);
      }
    }),
});
