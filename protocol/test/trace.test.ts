/** Trace ids: the test vectors of docs/observability.md, and the required properties of sampling. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Topic, TraceSampler, traceOf } from '../src/index.js';

const page = readFileSync(new URL('../../docs/observability.md', import.meta.url), 'utf8');
const vectors = [
  ...page.matchAll(/^\| `([\w.-]+)` \| `([\w-]+)` \| (\d+) \| `([0-9a-f]{32})` \| `([0-9a-f]{16})` \|$/gm),
];

const position = fc.record({ epoch: fc.stringMatching(/^[A-Za-z0-9_-]{1,32}$/), offset: fc.nat(2 ** 40) });
const topic = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/);

describe('the trace of a publication', () => {
  it('has the ids of the test vectors', () => {
    expect(vectors.length).toBe(3);
    for (const [, name = '', epoch = '', offset, traceId, spanId] of vectors) {
      expect(traceOf(name, { epoch, offset: Number(offset) })).toEqual({ traceId, spanId });
    }
  });

  it('has ids that no other trace has', () => {
    const traces = new Set<string>();
    const spans = new Set<string>();
    for (let room = 0; room < 200; room++) {
      for (let offset = 1; offset <= 250; offset++) {
        const { traceId, spanId } = traceOf(`chat.room-${room}`, { epoch: '1795508572945877', offset });
        traces.add(traceId);
        spans.add(spanId);
      }
    }
    expect({ traces: traces.size, spans: spans.size }).toEqual({ traces: 50_000, spans: 50_000 });
  });
});

describe('trace sampling', () => {
  it('selects about the configured share, in one topic and over many', () => {
    const sampler = new TraceSampler(0.01);
    const inOne = sampler.offsets('news', { epoch: '1795508572945877', offset: 1 }, 100_000)?.length ?? 0;
    let overMany = 0;
    for (let room = 0; room < 100_000; room++) {
      if (sampler.isSampled(`chat.room-${room}`, { epoch: '1795508572945877', offset: 1 })) overMany++;
    }
    for (const taken of [inOne, overMany]) {
      expect(taken).toBeGreaterThan(800);
      expect(taken).toBeLessThan(1_200);
    }
  });

  it('selects all at 1, none at 0, and at a higher ratio all that it selects at a lower one', () => {
    fc.assert(
      fc.property(topic, position, fc.double({ min: 0, max: 1, noNaN: true }), (name, at, ratio) => {
        expect(new TraceSampler(1).isSampled(name, at)).toBe(true);
        expect(new TraceSampler(0).isSampled(name, at)).toBe(false);
        const higher = new TraceSampler(Math.min(1, ratio * 1.5));
        if (new TraceSampler(ratio).isSampled(name, at)) expect(higher.isSampled(name, at)).toBe(true);
      }),
    );
  });

  it('compares the trailing 56 bits of the trace id with the published threshold', () => {
    fc.assert(
      fc.property(topic, position, fc.double({ min: 1e-6, max: 1, noNaN: true }), (name, at, ratio) => {
        const sampler = new TraceSampler(ratio);
        const threshold = BigInt(`0x${sampler.threshold.padEnd(14, '0')}`);
        const randomness = BigInt(`0x${traceOf(name, at).traceId.slice(18)}`);
        expect(sampler.isSampled(name, at)).toBe(randomness >= threshold);
      }),
    );
  });

  it('selects from a run exactly the publications that it selects one by one', () => {
    fc.assert(
      fc.property(topic, position, fc.nat(50), (name, { epoch, offset }, count) => {
        const sampler = new TraceSampler(0.2);
        const one = Array.from({ length: count }, (_, index) => offset + index).filter((each) =>
          sampler.isSampled(name as Topic, { epoch, offset: each }),
        );
        expect(sampler.offsets(name, { epoch, offset }, count) ?? []).toEqual(one);
      }),
    );
  });
});
