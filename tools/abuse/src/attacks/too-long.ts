/** Headers and frames that are too long, some only after decompression. */
import { deflateRawSync } from 'node:zlib';
import { type Attack, attack } from '../attack.js';
import { addressOf, handshake } from '../attackers.js';

export const longHeaders: Attack = attack({
  name: 'long-headers',
  about: 'tokens of 9000 bytes, headers of 200 KB, 200 a second',
  answers: ['HTTP 431'],
  run: (attackers) =>
    attackers.pace(200, (n) => {
      const header = n % 2 === 0 ? `Authorization: Bearer ${'x'.repeat(9_000)}` : `X-Long: ${'x'.repeat(200_000)}`;
      attackers.dial({ from: addressOf(n), head: [...handshake, header] });
      attackers.sent++;
    }),
});

export const longFrames: Attack = attack({
  name: 'long-frames',
  about: 'frames of 65 KiB and of 1 MiB, 10 connections again and again',
  answers: ['close 4501', 'cut off'],
  run: (attackers) =>
    attackers.crowd(10, async (member, turn) => {
      const peer = await attackers.enterAs(`attacker-${member}`);
      peer?.frame(' '.repeat((member + turn) % 2 === 0 ? 66_560 : 1_048_576));
      attackers.sent++;
      await peer?.ended;
    }),
});

/** The end of a block that RFC 7692 section 7.2.1 leaves out. */
const tailBytes = 4;
const bomb = deflateRawSync(Buffer.alloc(32 * 1_048_576, ' ')).subarray(0, -tailBytes);

export const compressionBombs: Attack = attack({
  name: 'compression-bombs',
  about: 'frames of 32 KiB that inflate to 32 MiB, 10 connections again and again',
  settings: { FANFARE_COMPRESSION: 'shared' },
  answers: ['cut off'],
  run: (attackers) =>
    attackers.crowd(10, async () => {
      const peer = await attackers.enter({ headers: ['Sec-WebSocket-Extensions: permessage-deflate'] });
      peer?.frame(bomb, { isCompressed: true });
      attackers.sent++;
      await peer?.ended;
    }),
});
