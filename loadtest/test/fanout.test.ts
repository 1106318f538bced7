/** A short run against real servers: every delivery arrives, once, in order. The figures of so short a run say nothing. */
import { expect, it } from 'vitest';
import { measureFanout, reportFanout } from '../src/index.js';
import { shapeNames } from '../src/shape.js';

it('loses nothing', async () => {
  const options = {
    drivers: ['fanfare', 'raw'],
    shapes: shapeNames,
    subscribers: 20,
    idleSubscribers: 0,
    publicationBytes: 128,
    rounds: 1,
    seconds: 0.1,
  } as const;
  const samples = await measureFanout(options, () => {});
  const variants = ['fanfare msgpack', 'fanfare json', 'fanfare msgpack recoverable', 'raw', 'raw deferred'];
  expect(samples.traffic.map(({ variant, shape }) => `${variant}, ${shape}`)).toEqual(
    variants.flatMap((variant) => shapeNames.map((shape) => `${variant}, ${shape}`)),
  );
  for (const { run, shape } of samples.traffic) {
    const subscribers = shape === 'one-to-one' ? 1 : options.subscribers;
    expect(run).toMatchObject({ deliveries: run.publications * subscribers, lost: 0, repeated: 0 });
    expect(run.deliveries).toBeGreaterThan(0);
  }
  for (const variant of variants) expect(reportFanout(samples, options)).toContain(`| ${variant}`);
});
