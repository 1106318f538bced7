/**
 * What tracing costs a node: CPU for each publication that it takes, sends through Redis and delivers to one subscriber; without tracing, at the
 * default ratio, and at 1, in turns. `node loadtest/dist/costs/tracing-cost.js [rounds] [publications]`
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describeMachine } from '@fanfare/kit/machine';
import { markdownTable } from '@fanfare/kit/markdown-table';
import { median } from '@fanfare/kit/median';
import { readCpuNs } from '@fanfare/kit/process-usage';
import { type NodeProcess, startNode, startRedis } from '@fanfare/local-cluster';
import { WebSocket } from 'ws';

const [rounds = 5, publications = 300_000] = process.argv.slice(2).map(Number);
/** Publications of a frame, and of 128 bytes each. */
const inFrame = 20;
const topics = 100;
const data = 'x'.repeat(128);

interface Case {
  readonly name: string;
  readonly ratio: string | null;
  /** Publications of one topic in a frame: those of one turn go through the node as one run. */
  readonly runLength: number;
}

const cases: readonly Case[] = [1, inFrame].flatMap((runLength) =>
  [null, '0.001', '1'].map((ratio) => ({ name: ratio === null ? 'off' : `ratio ${ratio}`, ratio, runLength })),
);

/** Takes spans and forgets them. */
const collector = createServer((request, response) => {
  request.resume().once('end', () => response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}'));
});
collector.listen(0, '127.0.0.1');
await once(collector, 'listening');
const url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/v1/traces`;

async function open({ url: nodeUrl }: NodeProcess): Promise<WebSocket> {
  const socket = new WebSocket(nodeUrl);
  await once(socket, 'open');
  return socket;
}

async function request(socket: WebSocket, command: object): Promise<void> {
  socket.send(JSON.stringify(command));
  await once(socket, 'message');
}

/** Resolves with the µs of the node's CPU for each publication. */
async function measure({ ratio, runLength }: Case, redisUrl: string): Promise<number> {
  const tracing = ratio === null ? {} : { FANFARE_TRACING_URL: url, FANFARE_TRACING_RATIO: ratio };
  await using node = await startNode({ redisUrl, env: tracing });
  const subscriber = await open(node);
  for (let topic = 0; topic < topics; topic++)
    await request(subscriber, { type: 'subscribe', id: 1, topic: `t.${topic}` });
  const publisher = await open(node);
  const frames = Array.from({ length: topics }, (_, frame) =>
    JSON.stringify(
      Array.from({ length: inFrame }, (__, at) => {
        const topic = runLength === 1 ? frame * inFrame + at : frame;
        return { type: 'publish', topic: `t.${topic % topics}`, data };
      }),
    ),
  );
  const publish = async (count: number): Promise<void> => {
    for (let sent = 0; sent < count; sent += inFrame) {
      publisher.send(frames[(sent / inFrame) % topics] as string);
      // What is in flight stays bounded.
      if (sent % (inFrame * 10) === 0) await request(publisher, { type: 'publish', id: 2, topic: 'pace', data: 1 });
    }
    await request(publisher, { type: 'publish', id: 2, topic: 'pace', data: 1 });
  };
  // It takes ten times as long where all are traced.
  const count = ratio === '1' ? publications / 10 : publications;
  await publish(count / 2);
  const before = await readCpuNs(node.pid);
  await publish(count);
  const cpuNs = (await readCpuNs(node.pid)) - before;
  for (const socket of [publisher, subscriber]) socket.terminate();
  return cpuNs / 1_000 / count;
}

await using redis = await startRedis();
const costs = new Map<Case, number[]>(cases.map((each) => [each, []]));
for (let round = 0; round < rounds; round++) {
  // Whoever comes first in one round comes last in the next.
  for (const each of round % 2 === 0 ? cases : cases.toReversed())
    costs.get(each)?.push(await measure(each, redis.url));
}
const rows = cases.map((each) => {
  const base = cases.find(({ ratio, runLength }) => ratio === null && runLength === each.runLength);
  const mine = costs.get(each) ?? [];
  const theirs = (base && costs.get(base)) ?? [];
  const ratios = mine.map((cost, round) => cost / (theirs[round] ?? Number.NaN));
  const range = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
  return [each.name, String(each.runLength), median(mine).toFixed(2), `${median(ratios).toFixed(2)} (${range})`];
});
process.stdout.write(
  `${describeMachine()}; ${rounds} rounds of ${publications} publications, a tenth of them at ratio 1.\n\n`,
);
const head = ['tracing', 'publications of a run', 'publication, µs of CPU', 'times off'];
process.stdout.write(`${markdownTable(head, rows)}\n`);
collector.closeAllConnections();
collector.close();
