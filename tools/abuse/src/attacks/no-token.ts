/** Connections that send no token, or whose first command is not `connect`. */
import { type Attack, attack } from '../attack.js';
import { addressOf } from '../attackers.js';

export const neverAuthenticate: Attack = attack({
  name: 'never-authenticate',
  about: '500 connections a second that send no token',
  settings: { FANFARE_AUTH_TIMEOUT_MS: '500', FANFARE_MAX_CONNECTIONS: '1000' },
  answers: ['close 4004', 'HTTP 503'],
  besides: ['left open'],
  leastSeconds: 2,
  run: (attackers) =>
    attackers.pace(500, (n) => {
      attackers.handshake({ from: addressOf(n) });
      attackers.sent++;
    }),
});

const commands = [
  { type: 'subscribe', id: 1, topic: 'good.0' },
  { type: 'publish', id: 1, topic: 'good.0', data: 1 },
  { type: 'history', id: 1, topic: 'good.0' },
  { type: 'ping', id: 1 },
  { type: 'connect', id: 1 },
  { type: 'refresh', id: 1, token: 'x' },
];

export const wrongFirstCommand: Attack = attack({
  name: 'wrong-first-command',
  about: 'a first command other than `connect`, 300 connections a second',
  answers: ['error unauthenticated', 'close 4502'],
  run: (attackers) =>
    attackers.pace(300, (n) => {
      const peer = attackers.handshake({ from: addressOf(n) });
      void peer.status.then(() => peer.send(commands[n % commands.length] ?? {}));
      attackers.sent++;
    }),
});
