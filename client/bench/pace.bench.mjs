/**
 * How long clients of one user need for more publications than the user may send at once, at the default rates (50 a
 * second, 100 at once) of a real node, next to the shortest time that the rate permits. Takes two minutes, most of it
 * waiting. Run by `npm run bench -w client`; with numbers, for as many clients as each says:
 * `npm run bench -w client -- 2 20`.
 */
import { createHmac } from 'node:crypto';
import { startNode } from '@fanfare/local-cluster';
import { createClient } from '../dist/index.js';

const publications = 600;
const [rate, burst] = [50, 100];
const secret = 'a-secret-of-at-least-32-bytes-for-this!';
const auth = { issuers: [{ issuer: 'bench', keys: [{ algorithm: 'HS256', secret }] }] };
const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

function tokenOf(sub) {
  const iat = Math.floor(Date.now() / 1_000);
  const permissions = { publish: ['>'], subscribe: ['>'] };
  const claims = { iss: 'bench', sub, iat, exp: iat + 600, fanfare: permissions };
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

async function measure(url, count) {
  const outcome = { refused: 0, closed: 0, failed: 0 };
  console.debug = (...words) => {
    if (words.some((word) => word?.code === 'rateLimited')) outcome.refused++;
  };
  const getToken = () => tokenOf(`user-of-${count}`);
  const clients = Array.from({ length: count }, () => createClient(url, { getToken, debug: true }));
  for (const client of clients) {
    client.on('error', () => {});
    client.on('state', ({ closeCode }) => {
      if (closeCode === 4006) outcome.closed++;
    });
  }
  await Promise.all(clients.map((client) => client.connect()));
  const began = performance.now();
  const published = clients.flatMap((client, index) =>
    Array.from({ length: publications / count }, (_, number) =>
      client.publish(`pace.${index}`, number, { timeoutMs: 120_000 }).catch(() => outcome.failed++),
    ),
  );
  await Promise.all(published);
  const tookMs = performance.now() - began;
  await Promise.all(clients.map((client) => client.close()));
  return { ...outcome, tookMs };
}

const counts = process.argv.slice(2).map(Number);
const idealMs = ((publications - burst) / rate) * 1_000;
const node = await startNode({ env: { FANFARE_AUTH: JSON.stringify(auth) } });
const print = (line) => process.stdout.write(`${line}\n`);
print(`${publications} publications of one user; ${idealMs / 1_000} s at best`);
print('clients  seconds  of the best  refused  closed (4006)  failed');
for (const count of counts.length > 0 ? counts : [1, 2, 3, 5, 10, 20]) {
  const { tookMs, refused, closed, failed } = await measure(node.url, count);
  const cells = [
    [count, 7],
    [(tookMs / 1_000).toFixed(1), 7],
    [(tookMs / idealMs).toFixed(2), 11],
    [refused, 7],
    [closed, 13],
    [failed, 6],
  ];
  print(cells.map(([value, width]) => String(value).padStart(width)).join('  '));
}
await node[Symbol.asyncDispose]();
