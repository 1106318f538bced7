/**
 * What tokens cost a node: CPU for each handshake and for each publication, without authentication and with each kind
 * of token.
 */
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { once } from 'node:events';
import { readCpuNs } from '@fanfare/kit/process-usage';
import { type NodeProcess, startNode } from '@fanfare/local-cluster';
import type { WebSocket } from 'ws';
import { costCells, inTurns, openSocket, publishAll, request } from './turns.js';

/** Handshakes at the same time. */
const atOnce = 20;

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

async function connect({ url }: NodeProcess, token: string | null): Promise<WebSocket> {
  const socket = await openSocket(url);
  const answer = await request(socket, { type: 'connect', id: 1, ...(token === null ? {} : { token }) });
  if (!answer.includes('"connected"')) throw new Error(answer);
  return socket;
}

interface Cost {
  readonly handshake: number;
  readonly publication: number;
}

export const authHead = ['token', 'handshake, µs of CPU', 'times none', 'publication, µs of CPU', 'times none'];

export async function authCosts(rounds: number, handshakes: number, publications: number): Promise<string[][]> {
  const algorithms = [null, ...Object.keys(kinds)];
  const costs = await inTurns(algorithms, rounds, (algorithm) => measure(algorithm, handshakes, publications));
  const of = (algorithm: string | null, what: keyof Cost): number[] =>
    (costs.get(algorithm) ?? []).map((cost) => cost[what]);
  return algorithms.map((algorithm) => [
    algorithm ?? 'none',
    ...costCells(of(algorithm, 'handshake'), of(null, 'handshake')),
    ...costCells(of(algorithm, 'publication'), of(null, 'publication')),
  ]);
}

/** In µs of the node's CPU. */
async function measure(algorithm: string | null, handshakes: number, publications: number): Promise<Cost> {
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
  const connectMany = async (count: number): Promise<void> => {
    let left = count;
    const one = async (): Promise<void> => {
      while (left-- > 0) {
        const socket = await connect(node, token);
        socket.close();
        await once(socket, 'close');
      }
    };
    await Promise.all(Array.from({ length: atOnce }, one));
  };
  const publisher = await connect(node, token);
  const publishMany = (count: number): Promise<void> =>
    publishAll(publisher, count, 1, { command: { type: 'ping', id: 2 }, everyFrames: 50 });
  await connectMany(200);
  await publishMany(publications / 4);
  const handshake = await cpuOf(handshakes, () => connectMany(handshakes));
  const publication = await cpuOf(publications, () => publishMany(publications));
  publisher.terminate();
  return { handshake, publication };
}
