/** Frames that neither our broker nor any WebSocket server can decode. */
import { type FrameOptions, opcodes } from '@fanfare/kit/frames';
import { type Attack, attack } from '../attack.js';
import { addressOf } from '../attackers.js';

const unreadable = ['{', '[]', 'null', '{"type":"conect"}', '{"type":"subscribe","id":"1"}', '"text"', '[[[[', '{}'];

export const malformedFrames: Attack = attack({
  name: 'malformed-frames',
  about: 'text that is no command, 20 connections again and again',
  answers: ['error malformed', 'error unknownCommand', 'close 4500'],
  run: (attackers) =>
    attackers.crowd(20, async (member, turn) => {
      const peer = await attackers.enterAs(`attacker-${member}`);
      for (let n = 0; n < 12; n++) peer?.frame(unreadable[(turn + n) % unreadable.length] ?? '');
      attackers.sent += 12;
      await peer?.ended;
    }),
});

/**
 * A frame without a mask is not included: uWebSockets reads it as masked, and waits for four more bytes (PROTOCOL.md
 * section 6).
 */
const broken: readonly (readonly [payload: string | Uint8Array, options: FrameOptions])[] = [
  ['{}', { reserved: 1 }],
  ['{}', { reserved: 7 }],
  ['{}', { isCompressed: true }],
  ['{}', { opcode: 3 }],
  ['{}', { opcode: 11 }],
  ['x'.repeat(126), { opcode: opcodes.ping }],
  ['x', { opcode: opcodes.ping, isLast: false }],
  ['x', { opcode: opcodes.continuation }],
  [Uint8Array.of(0xff, 0xfe), {}],
];

export const brokenFrames: Attack = attack({
  name: 'broken-frames',
  about: 'frames that violate RFC 6455, 300 connections a second',
  answers: ['cut off'],
  run: (attackers) =>
    attackers.pace(300, (n) => {
      const peer = attackers.handshake({ from: addressOf(n) });
      const [payload, options] = broken[n % broken.length] ?? ['', {}];
      void peer.status.then(() => peer.frame(payload, options));
      attackers.sent++;
    }),
});
