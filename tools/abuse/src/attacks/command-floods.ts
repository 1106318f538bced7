/** Valid commands beyond the rate of a subject: ten connections with one subject each, again and again. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Attack, attack } from '../attack.js';
import type { Outcome } from '../outcome.js';

const connections = 10;
const eachMs = 10;
const atOnce = 10;

function flood(
  name: string,
  what: string,
  answers: readonly Outcome[],
  command: (n: number, member: number) => object,
): Attack {
  return attack({
    name,
    about: `${what}, ${connections} connections with up to ${(atOnce * 1_000) / eachMs} a second each`,
    answers: [...answers, 'error rateLimited', 'close 4006'],
    // If an `unsubscribe` was refused, the next `subscribe` is too early.
    besides: ['left open', 'error alreadySubscribed', 'error notSubscribed'],
    // The node first sends a thousand refusals.
    leastSeconds: 4,
    run: (attackers) =>
      attackers.crowd(connections, async (member) => {
        const peer = await attackers.enterAs(`attacker-${member}`);
        for (let n = 0; peer !== null && !peer.isClosed && !attackers.isOver; n += atOnce) {
          for (let i = n; i < n + atOnce; i++) peer.send(command(i, member));
          attackers.sent += atOnce;
          await delay(eachMs);
        }
      }),
  });
}

export const subscribeFlood = flood(
  'subscribe-flood',
  '`subscribe` and `unsubscribe` in turn',
  ['reply subscribed', 'reply unsubscribed'],
  (n, member) => ({ type: n % 2 === 0 ? 'subscribe' : 'unsubscribe', id: n + 1, topic: `flood.${member}` }),
);

export const publishFlood = flood('publish-flood', '`publish`', ['reply published'], (n, member) => ({
  type: 'publish',
  id: n + 1,
  topic: `flood.${member}`,
  data: 'x'.repeat(100),
}));

export const pingFlood = flood('ping-flood', '`ping`', ['reply pong'], (n) => ({ type: 'ping', id: n + 1 }));
