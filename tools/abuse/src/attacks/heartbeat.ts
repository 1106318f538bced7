/** WebSocket's own pings: too many of them, and none answered. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Attack, attack } from '../attack.js';
import { opcodes } from '../frames.js';

export const pingFrames: Attack = attack({
  name: 'ping-frames',
  about: 'ping frames, 10 connections with 1000 a second each',
  answers: ['pong frame'],
  besides: ['left open'],
  run: (raid) =>
    raid.crowd(10, async (member) => {
      const peer = await raid.enterAs(`mallory-${member}`);
      while (peer !== null && !peer.isClosed && !raid.isOver) {
        for (let n = 0; n < 10; n++) peer.frame('x'.repeat(100), { opcode: opcodes.ping });
        raid.sent += 10;
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
  run: async (raid) => {
    for (let n = 0; n < 200; n++) {
      await raid.enterAs(`mallory-${n % 20}`);
      raid.sent++;
    }
    await raid.wait();
  },
});
