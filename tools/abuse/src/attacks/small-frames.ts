/** Messages in the smallest possible pieces. */
import { opcodes } from '@fanfare/kit/frames';
import { type Attack, attack } from '../attack.js';

export const oneByteFrames: Attack = attack({
  name: 'one-byte-frames',
  about: 'frames of one byte, 20 connections again and again',
  answers: ['error malformed', 'close 4500'],
  run: (attackers) =>
    attackers.crowd(20, async (member) => {
      const peer = await attackers.enterAs(`attacker-${member}`);
      for (let n = 0; n < 12; n++) peer?.frame('1');
      attackers.sent += 12;
      await peer?.ended;
    }),
});

export const endlessFragments: Attack = attack({
  name: 'endless-fragments',
  about: 'one message in fragments without end, 20 connections again and again',
  answers: ['cut off'],
  run: (attackers) =>
    attackers.crowd(20, async (member) => {
      const peer = await attackers.enterAs(`attacker-${member}`);
      if (peer === null) return;
      peer.frame('[', { isLast: false });
      // A byte at a time first, then enough to reach the limit.
      for (let n = 0; n < 1_000; n++) peer.frame(' ', { opcode: opcodes.continuation, isLast: false });
      for (let n = 0; n < 140; n++) peer.frame(' '.repeat(1_024), { opcode: opcodes.continuation, isLast: false });
      attackers.sent += 1_141;
      await peer.ended;
    }),
});

export const silentFragments: Attack = attack({
  name: 'fragments-without-token',
  about: 'one message in fragments without end and without a token, a byte every 10 ms',
  settings: { FANFARE_AUTH_TIMEOUT_MS: '500' },
  answers: ['close 4004'],
  besides: ['left open'],
  leastSeconds: 2,
  run: async (attackers) => {
    const peers = Array.from({ length: 50 }, () => attackers.handshake());
    for (const peer of peers) if ((await peer.status) === 101) peer.frame('[', { isLast: false });
    await attackers.pace(100, () => {
      for (const peer of peers) peer.frame(' ', { opcode: opcodes.continuation, isLast: false });
      attackers.sent += peers.length;
    });
  },
});
