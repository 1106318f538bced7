/**
 * What asking for tokens costs a node: CPU for each handshake and for each publication, without authentication and with each kind of
 * token, in turns. `node loadtest/dist/costs/auth-cost.js [rounds] [handshakes] [publications]`
 */
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { once } from 'node:events';
import { describeMachine } from '@fanfare/kit/machine';
import { markdownTable } from '@fanfare/kit/markdown-table';
import { median } from '@fanfare/kit/median';
import { readCpuNs } from '@fanfare/kit/process-usage';
import { type NodeProcess, startNode } from '@fanfare/local-cluster';
import { WebSocket } from 'ws';

const [rounds = 5, handshakes = 1_000, publications = 40_000] = process.argv.slice(2).map(Number);
/** Handshakes at the same time. */
const atOnce = 20;
/** Publications of a frame, and of 128 bytes each. */
const inFrame = 20;
const topics = 100;

const secret = 'a secret of more than thirty-two bytes';
const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const ed = generateKeyPairSync('ed25519');
const pem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();

type Sign = (text: string) => Buffer;

function tokenOf(alg: string, signWith: Sign): string {
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
  const now = Math.floor(Date.now() / 1_000);
  const claims = {
    iss: 'test',
    sub: 'ada',
    iat: now,
    exp: now + 3_600,
    fanfare: { publish: ['t.*'], subscribe: ['t.*'] },
  };
  const text = `${encode({ alg })}.${encode(claims)}`;
  return `${text}.${signWith(text).toString('base64url')}`;
}

const kinds: Readonly<Record<string, { readonly key: object; readonly sign: Sign }>> = {
  HS256: { key: { secret }, sign: (text) => createHmac('sha256', secret).update(text).digest() },
  RS256: { key: { publicKey: pem(rsa.publicKey) }, sign: (text) => sign('sha256', Buffer.from(text), rsa.privateKey) },
  ES256: {
    key: { publicKey: pem(ec.publicKey) },
    sign: (text) => sign('sha256', Buffer.from(text), { key: ec.privateKey, dsaEncoding: 'ieee-p1363' }),
  },
  EdDSA: { key: { publicKey: pem(ed.publicKey) }, sign: (text) => sign(null, Buffer.from(text), ed.privateKey) },
};

async function request(socket: WebSocket, command: object): Promise<string> {
  socket.send(JSON.stringify(command));
  const [answer] = await once(socket, 'message');
  return String(answer);
}

async function enter({ url }: NodeProcess, token: string | null): Promise<WebSocket> {
  const socket = new WebSocket(url);
  await once(socket, 'open');
  const answer = await request(socket, { type: 'connect', id: 1, ...(token === null ? {} : { token }) });
  if (!answer.includes('"connected"')) throw new Error(answer);
  return socket;
}

interface Cost {
  readonly handshake: number;
  readonly publication: number;
}

/** In µs of the node's CPU. */
async function measure(algorithm: string | null): Promise<Cost> {
  const kind = algorithm === null ? undefined : kinds[algorithm];
  const issuers = [{ issuer: 'test', keys: [{ algorithm, ...kind?.key }] }];
  const limits = {
    FANFARE_MAX_CONNECTIONS_PER_SUBJECT: '100000',
    FANFARE_HANDSHAKES_PER_SECOND: '100000',
    FANFARE_PUBLISH_RATE: '10000000',
    FANFARE_PUBLISH_BYTES_RATE: '1073741824',
    FANFARE_COMMAND_RATE: '10000000',
    FANFARE_TOPICS: '{">":{"level":"fast"}}',
  };
  const auth = algorithm === null ? {} : { FANFARE_AUTH: JSON.stringify({ issuers }) };
  await using node = await startNode({ env: { ...limits, ...auth } });
  const token = algorithm === null || kind === undefined ? null : tokenOf(algorithm, kind.sign);
  const cpuOf = async (count: number, work: () => Promise<void>): Promise<number> => {
    const before = await readCpuNs(node.pid);
    await work();
    return ((await readCpuNs(node.pid)) - before) / 1_000 / count;
  };
  const enterMany = async (count: number): Promise<void> => {
    let left = count;
    const one = async (): Promise<void> => {
      while (left-- > 0) {
        const socket = await enter(node, token);
        socket.close();
        await once(socket, 'close');
      }
    };
    await Promise.all(Array.from({ length: atOnce }, one));
  };
  const publisher = await enter(node, token);
  const publishMany = async (count: number): Promise<void> => {
    const data = 'x'.repeat(128);
    const frames = Array.from({ length: topics }, (_, frame) =>
      JSON.stringify(
        Array.from({ length: inFrame }, (_, at) => ({
          type: 'publish',
          topic: `t.${(frame * inFrame + at) % topics}`,
          data,
        })),
      ),
    );
    for (let sent = 0; sent < count; sent += inFrame) {
      publisher.send(frames[(sent / inFrame) % topics] as string);
      // What is in flight stays bounded.
      if (sent % (inFrame * 50) === 0) await request(publisher, { type: 'ping', id: 2 });
    }
    await request(publisher, { type: 'ping', id: 2 });
  };
  await enterMany(200);
  await publishMany(publications / 4);
  const handshake = await cpuOf(handshakes, () => enterMany(handshakes));
  const publication = await cpuOf(publications, () => publishMany(publications));
  publisher.terminate();
  return { handshake, publication };
}

const algorithms = [null, ...Object.keys(kinds)];
const costs = new Map<string | null, Cost[]>(algorithms.map((algorithm) => [algorithm, []]));
for (let round = 0; round < rounds; round++) {
  // Whoever comes first in one round comes last in the next.
  for (const algorithm of round % 2 === 0 ? algorithms : algorithms.toReversed()) {
    costs.get(algorithm)?.push(await measure(algorithm));
  }
}
const plain = costs.get(null) ?? [];
const rows = algorithms.map((algorithm) => {
  const mine = costs.get(algorithm) ?? [];
  const cells = (what: keyof Cost): string[] => {
    const ratios = mine.map((cost, round) => cost[what] / (plain[round]?.[what] ?? Number.NaN));
    const range = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
    return [median(mine.map((cost) => cost[what])).toFixed(2), `${median(ratios).toFixed(2)} (${range})`];
  };
  return [algorithm ?? 'none', ...cells('handshake'), ...cells('publication')];
});
process.stdout.write(
  `${describeMachine()}; ${rounds} rounds of ${handshakes} handshakes and ${publications} publications.\n\n`,
);
process.stdout.write(
  `${markdownTable(['token', 'handshake, µs of CPU', 'times none', 'publication, µs of CPU', 'times none'], rows)}\n`,
);
