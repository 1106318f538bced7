/** WebSocket's own pings: too many of them, and none answered. */
import { setTimeout as delay } from 'node:timers/promises';
import { opcodes } from '@fanfare/kit/frames';
import { type Attack, attack } from '../attack.js';

export const pingFrames: Attack = attack({
  name: 'ping-frames',
  about: 'ping frames, 10 connections with 1000 a second each',
  answers: ['pong frame'],
  besides: ['left open'],
  run: (attackers) =>
    attackers.crowd(10, async (member) => {
      const peer = await attackers.enterAs(`attacker-${member}`);
      while (peer !== null && !peer.isClosed && !attackers.isOver) {
        for (let n = 0; n < 10; n++) peer.frame('x'.repeat(100), { opcode: opcodes.ping });
        attackers.sent += 10;
        await delay(10);
      }
    }),
});

export const noPong: Attack = attack({
  name: 'no-pong',
  about: '200 connections with a token that answer no ping',
  settings: { FANFARE_IDLE_TIMEOUT_SECONDS: '8' },
  answers: ['cut off'],
  leastSeconds: 15,
  run: async (attackers) => {
    for (let n = 0; n < 200; n++) {
      await attackers.enterAs(`attacker-${n % 20}`);
      attackers.sent++;
    }
    await attackers.wait();
  },
});
