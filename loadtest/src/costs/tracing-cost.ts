/**
 * What tracing costs a node: CPU for each publication that it receives, sends through Redis and delivers to one
 * subscriber.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readCpuNs } from '@fanfare/kit/process-usage';
import { startNode, startRedis } from '@fanfare/local-cluster';
import { costCells, inTurns, openSocket, perFrame, publishAll, publishedTopics, request } from './turns.js';

interface Variant {
  readonly name: string;
  readonly ratio: string | null;
  /** Publications of one topic in a row: the node handles those of one turn together. */
  readonly runLength: number;
}

const variants: readonly Variant[] = [1, perFrame].flatMap((runLength) =>
  [null, '0.001', '1'].map((ratio) => ({ name: ratio === null ? 'off' : `ratio ${ratio}`, ratio, runLength })),
);

export const tracingHead = ['tracing', 'publications of a run', 'publication, µs of CPU', 'times off'];

export async function tracingCosts(rounds: number, publications: number): Promise<string[][]> {
  // Accepts spans and drops them.
  const collector = createServer((incoming, response) => {
    incoming.resume().once('end', () => response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}'));
  });
  collector.listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/v1/traces`;
  await using redis = await startRedis();
  const costs = await inTurns(variants, rounds, (variant) => measure(variant, url, redis.url, publications));
  collector.closeAllConnections();
  collector.close();
  return variants.map((variant) => {
    const base = variants.find(({ ratio, runLength }) => ratio === null && runLength === variant.runLength);
    const baseCosts = (base && costs.get(base)) ?? [];
    return [variant.name, String(variant.runLength), ...costCells(costs.get(variant) ?? [], baseCosts)];
  });
}

/** Resolves with the µs of the node's CPU for each publication. */
async function measure(
  { ratio, runLength }: Variant,
  url: string,
  redisUrl: string,
  publications: number,
): Promise<number> {
  const tracing = ratio === null ? {} : { FANFARE_TRACING_URL: url, FANFARE_TRACING_RATIO: ratio };
  await using node = await startNode({ redisUrl, env: tracing });
  const subscriber = await openSocket(node.url);
  for (let topic = 0; topic < publishedTopics; topic++)
    await request(subscriber, { type: 'subscribe', id: 1, topic: `t.${topic}` });
  const publisher = await openSocket(node.url);
  const barrier = { command: { type: 'publish', id: 2, topic: 'pace', data: 1 }, everyFrames: 10 };
  // It takes ten times as long if all are traced.
  const count = ratio === '1' ? publications / 10 : publications;
  await publishAll(publisher, count / 2, runLength, barrier);
  const before = await readCpuNs(node.pid);
  await publishAll(publisher, count, runLength, barrier);
  const cpuNs = (await readCpuNs(node.pid)) - before;
  for (const socket of [publisher, subscriber]) socket.terminate();
  return cpuNs / 1_000 / count;
}
