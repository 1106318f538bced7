/**
 * Variants of a node take turns, so that other load on the machine affects all alike. Ratios are taken within a round.
 */
import { once } from 'node:events';
import { median } from '@fanfare/kit/median';
import { WebSocket } from 'ws';

/** Measures every variant once in each round; the first variant of a round is the last of the next. */
export async function inTurns<Variant, Cost>(
  variants: readonly Variant[],
  rounds: number,
  measure: (variant: Variant) => Promise<Cost>,
): Promise<ReadonlyMap<Variant, readonly Cost[]>> {
  const costs = new Map<Variant, Cost[]>(variants.map((variant) => [variant, []]));
  for (let round = 0; round < rounds; round++) {
    for (const variant of round % 2 === 0 ? variants : variants.toReversed())
      costs.get(variant)?.push(await measure(variant));
  }
  return costs;
}

/** Median of the costs, and median of their ratios to the base with the lowest and the highest. */
export function costCells(costs: readonly number[], base: readonly number[]): [cost: string, ratio: string] {
  const ratios = costs.map((cost, round) => cost / (base[round] ?? Number.NaN));
  const range = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
  return [median(costs).toFixed(2), `${median(ratios).toFixed(2)} (${range})`];
}

export async function openSocket(url: string): Promise<WebSocket> {
  const socket = new WebSocket(url);
  await once(socket, 'open');
  return socket;
}

export async function request(socket: WebSocket, command: object): Promise<string> {
  socket.send(JSON.stringify(command));
  const [answer] = await once(socket, 'message');
  return String(answer);
}

export const publishedTopics = 100;
/** Publications in a frame, of 128 bytes each. */
export const perFrame = 20;

/** Publishes to all topics in turn, `runLength` publications in a row to each. */
export async function publishAll(
  socket: WebSocket,
  count: number,
  runLength: number,
  barrier: { readonly command: object; readonly everyFrames: number },
): Promise<void> {
  const data = 'x'.repeat(128);
  const frames = Array.from({ length: publishedTopics }, (_, frame) =>
    JSON.stringify(
      Array.from({ length: perFrame }, (__, at) => {
        const topic = Math.floor((frame * perFrame + at) / runLength) % publishedTopics;
        return { type: 'publish', topic: `t.${topic}`, data };
      }),
    ),
  );
  for (let frame = 0; frame * perFrame < count; frame++) {
    socket.send(frames[frame % frames.length] as string);
    // Limits what is in flight.
    if (frame % barrier.everyFrames === 0) await request(socket, barrier.command);
  }
  await request(socket, barrier.command);
}
