/**
 * The scenario `fanout`: what a delivery costs the server and what an idle subscriber costs it, driver against driver, taken
 * in turns so that what disturbs the machine disturbs all of them.
 */
import type { RunResult } from './crowd.js';
import { type DriverName, type Variant, variantsOf } from './driver.js';
import { GeneratorProcess } from './generator-process.js';
import { type MemorySample, measureIdleMemory } from './idle-memory.js';
import { type Pinning, pin, planPinning } from './pinning.js';
import { readCpuNs } from './process-usage.js';
import { type ShapeName, shapes } from './shape.js';

/** Before each window, so that compilers and TCP windows have seen the traffic. */
const warmUpSeconds = 0.5;

/** A burst sent late or over the one before measures the generator: more than this share makes the figure doubtful. */
const tolerableOverlaps = 0.02;
const tolerableSlipUs = 5_000;

export interface FanoutOptions {
  readonly drivers: readonly DriverName[];
  readonly shapes: readonly ShapeName[];
  readonly subscribers: number;
  readonly idleSubscribers: number;
  readonly publicationBytes: number;
  readonly rounds: number;
  readonly seconds: number;
}

export interface TrafficSample {
  readonly round: number;
  readonly variant: string;
  readonly shape: ShapeName;
  readonly cpuNsPerDelivery: number;
  readonly run: RunResult;
  /** Something was lost or came twice: the sample says nothing. */
  readonly isValid: boolean;
  /** Why the figure may be the generator's, not the server's; empty: it is the server's. */
  readonly doubts: readonly string[];
}

export interface FanoutSamples {
  readonly pinning: Pinning;
  readonly traffic: readonly TrafficSample[];
  readonly memory: readonly MemorySample[];
}

export async function measureFanout(options: FanoutOptions, log: (line: string) => void): Promise<FanoutSamples> {
  const pinning = planPinning();
  const traffic: TrafficSample[] = [];
  const memory: MemorySample[] = [];
  const variants = options.drivers.flatMap((driver) => variantsOf[driver]);
  for (let round = 1; round <= options.rounds; round++) {
    // Whoever comes first in one round comes last in the next.
    const order = round % 2 === 1 ? variants : variants.toReversed();
    for (const variant of options.shapes.length > 0 ? order : []) {
      log(`round ${round} of ${options.rounds}: ${variant.name}`);
      traffic.push(...(await measureTraffic(variant, round, pinning, options)));
    }
    if (options.idleSubscribers > 0) {
      log(`round ${round} of ${options.rounds}: idle subscribers`);
      memory.push(...(await measureIdleMemory(order, round, options)));
    }
  }
  return { pinning, traffic, memory };
}

async function measureTraffic(
  variant: Variant,
  round: number,
  pinning: Pinning,
  options: FanoutOptions,
): Promise<TrafficSample[]> {
  const { seconds, subscribers } = options;
  await using server = await variant.start({});
  await using generator = startGenerator(server, variant, pinning, options);
  await generator.open({ topic: 'one', subscribers: 1, ownTopics: false });
  await generator.open({ topic: 'many', subscribers, ownTopics: false });
  const samples: TrafficSample[] = [];
  for (const name of options.shapes) {
    const { topic, plan } = shapes[name];
    const run = plan(subscribers);
    await generator.run(topic, { ...run, seconds: Math.min(warmUpSeconds, seconds) });
    const cpuNsBefore = await readCpuNs(server.pid);
    const result = await generator.run(topic, { ...run, seconds });
    const cpuNs = (await readCpuNs(server.pid)) - cpuNsBefore;
    samples.push({
      round,
      variant: variant.name,
      shape: name,
      cpuNsPerDelivery: cpuNs / result.deliveries,
      run: result,
      isValid: result.deliveries > 0 && result.lost === 0 && result.repeated === 0,
      doubts: findDoubts(result),
    });
  }
  return samples;
}

function findDoubts({ overlaps, bursts, slipP99Us }: RunResult): string[] {
  const doubts: string[] = [];
  if (overlaps > bursts * tolerableOverlaps) doubts.push(`${overlaps} of ${bursts} sent before the last had arrived`);
  if (slipP99Us > tolerableSlipUs) doubts.push(`sent up to ${Math.round(slipP99Us / 1_000)} ms late`);
  return doubts;
}

function startGenerator(
  server: { readonly pid: number; readonly port: number },
  variant: Variant,
  pinning: Pinning,
  { publicationBytes }: FanoutOptions,
): GeneratorProcess {
  if (pinning.server !== null) pin(server.pid, pinning.server);
  return new GeneratorProcess({ port: server.port, wire: variant.wire, publicationBytes, cpu: pinning.generator });
}
