/** Opening handshakes, and the addresses they come from. */

import { isIP } from 'node:net';
import { judgeHandshake } from '@fanfare/broker/internal/connection/handshake';
import { Addresses, isNetwork, Networks } from '@fanfare/broker/internal/limits/addresses';
import { readOrigins } from '@fanfare/broker/internal/limits/origins';
import { maxTokenBytes, subprotocols } from '@fanfare/protocol';
import { hold, holdSentence, type Target, texts } from '../target.js';

const sound = [
  ...['GET /ws', 'upgrade: websocket', 'connection: keep-alive, Upgrade', 'sec-websocket-version: 13'],
  'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
];

export const handshake: Target = {
  about: 'opening handshakes',
  seeds: texts(
    sound.join('\n'),
    [...sound, 'sec-websocket-protocol: fanfare.v1.msgpack, fanfare.v1.json'].join('\n'),
    [...sound, 'authorization: Bearer abc.def.ghi'].join('\n'),
    [...sound, '?ticket=0123456789abcdef'].join('\n'),
    'POST /ws\nupgrade: h2c',
  ),
  words: [
    '\n',
    'fanfare.v1.json',
    'Bearer ',
    '?ticket=',
    'authorization: ',
    'sec-websocket-protocol: ',
    'websocket',
    ', ',
  ],
  files: ['broker/dist/connection/handshake'],
  maxBytes: 16_384,
  run(input) {
    const [first = '', ...rest] = Buffer.from(input).toString('latin1').split('\n');
    const [method = '', path = ''] = first.split(' ');
    const headers = new Map<string, string>();
    let ticket = '';
    for (const line of rest) {
      const [name = '', ...value] = line.split(':');
      if (line.startsWith('?ticket=')) ticket = line.slice('?ticket='.length);
      // uWebSockets.js passes no control characters except the tab.
      else
        headers.set(
          name.toLowerCase(),
          value
            .join(':')
            .trim()
            .replace(/[^\t\x20-\x7e\x80-\xff]/g, ''),
        );
    }
    const verdict = judgeHandshake({
      method: () => method.replace(/[^A-Za-z-]/g, '').slice(0, 100),
      path: () => path,
      header: (name) => headers.get(name) ?? '',
      query: () => ticket,
    });
    if ('status' in verdict) {
      hold(/^4\d\d [A-Z][A-Za-z ]+$/.test(verdict.status), () => `The status is ${JSON.stringify(verdict.status)}.`);
      holdSentence(verdict.sentence);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for.
      hold(!/[\x00-\x1f]/.test(Object.entries(verdict.headers).join()), () => 'A header with control characters.');
      return;
    }
    const { encoding, subprotocol, credential } = verdict;
    hold(subprotocol === '' || subprotocol === subprotocols[encoding], () => `${encoding} is answered ${subprotocol}.`);
    const offered = (headers.get('sec-websocket-protocol') ?? '').split(',').map((offer) => offer.trim());
    hold(offered.includes(subprotocol), () => `${subprotocol} was not offered.`);
    hold(
      credential === null || (credential.text !== '' && credential.text.length <= maxTokenBytes),
      () => 'A credential of a wrong length.',
    );
  },
};

export const addresses: Target = {
  about: 'X-Forwarded-For, addresses, networks and origins',
  seeds: texts(
    ...[
      '10.0.0.1\n10.0.0.0/8\n1.2.3.4, 10.0.0.2',
      '::ffff:10.0.0.1\n10.0.0.0/8,::1\n2001:db8::1',
      '::1\n::1\n::ffff:7f00:1',
    ],
    ...[
      '::1\nfe80::/10\nfe80::1%eth0',
      '2001:DB8::1\n::/0\nunknown, "[2001:db8::1]:80"',
      '10.0.0.1\n10.0.0.0/8\n1.2.3.4:80, 10.0.0.2:1',
      '0:0:0:0:0:ffff:1.2.3.4\n0.0.0.0/0\n',
    ],
  ),
  words: [
    '::ffff:',
    '::',
    ',',
    ' ',
    '\n',
    '%1',
    '"',
    '[',
    ']:80',
    '/0',
    '/32',
    '/128',
    '1.2.3.4',
    'fe80::1',
    '2001:db8::',
    'ffff:',
    '127.0.0.1',
  ],
  files: ['broker/dist/limits/addresses', 'broker/dist/limits/origins'],
  maxBytes: 8_192,
  run(input) {
    const [remote = '', networks = '', forwardedFor = ''] = Buffer.from(input).toString('latin1').split('\n');
    const trusted = new Networks(networks.split(',').filter(isNetwork));
    readOrigins(forwardedFor, (wrong) => holdSentence(wrong.slice(-500)));
    // The address of a socket is valid; the header may contain anything.
    if (isIP(remote) === 0 || remote.includes('%')) return;
    const list = new Addresses(trusted, 1, { warn: () => undefined });
    const { address, unnamed } = list.clientOf(remote, forwardedFor);
    hold(isIP(address) !== 0, () => `${remote}, ${JSON.stringify(forwardedFor)}: the client is ${address}.`);
    hold(trusted.has(address) === (unnamed !== null), () => `${address} is ${unnamed ?? 'named'}.`);
    const socket = list.clientOf(remote, '').address;
    if (!trusted.has(socket)) hold(address === socket, () => `${remote} is believed, but is not a trusted proxy.`);
    else {
      // The format in which a proxy writes an address does not matter.
      const written = isIP(address) === 6 ? [`[${address}]`, `[${address}]:1`, `${address}%1`] : [`${address}:1`];
      for (const entry of [...written, `"${written[0]}"`, ` ${address} `]) {
        hold(list.clientOf(remote, entry).address === address, () => `${entry} is another address.`);
      }
    }
    const counted = list.of(remote, forwardedFor);
    const isLocal = new Networks(['127.0.0.0/8', '::1']).has(socket) && !trusted.has(socket);
    hold((counted === null) === isLocal, () => `${remote} is ${counted === null ? 'not ' : ''}counted.`);
    if (counted === null) return;
    hold(isNetwork(counted.key), () => `${address} is counted as ${counted.key}.`);
    hold(new Networks([counted.key]).has(address), () => `${address} is counted as ${counted.key}.`);
    hold(list.of(remote, forwardedFor) === counted, () => 'It is not found again.');
    list.forgetIdle(performance.now() + 2_000);
    hold(list.size === 0, () => 'It is not forgotten.');
  },
};
