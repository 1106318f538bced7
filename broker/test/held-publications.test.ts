/** Publications that wait while their partition changes over to another shard. */
import { type KeyedPayload, ReplyError, type Topic } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { HeldPublications } from '../src/relay/held-publications.js';
import { RelayPart, RelayShare } from '../src/relay/relay-share.js';

const topic = 't' as Topic;

function payloadOf(text: string): KeyedPayload {
  const bytes = Buffer.from(`<${text}>`);
  return { encoding: 'json', bytes, start: 1, end: bytes.length - 1, key: null, remove: false };
}

function hold(maxRelayBytes = 1_000) {
  const { waiting } = new RelayPart(new RelayShare({ flushWindowMs: 0, recentBytes: 0, maxRelayBytes }, 1), 1);
  const counters = { publicationsUnrelayed: 0, publicationsOverloaded: 0 };
  const lost: Topic[] = [];
  const held = new HeldPublications(waiting, counters, (topic) => lost.push(topic));
  const failed: string[] = [];
  const receipt = { accepted: () => undefined, failed: ({ code }: ReplyError) => failed.push(code) };
  return { held, waiting, counters, failed, receipt, lost };
}

describe('publications that wait', () => {
  it('are released in order, with copies of their data', async () => {
    const { held, waiting, receipt } = hold();
    const payload = payloadOf('one');
    held.add(topic, payload, null, receipt, null);
    (payload.bytes as Buffer).fill(0);
    held.add(topic, payloadOf('two'), null, null, null);
    expect(waiting.bytes).toBeGreaterThan(6);
    const released: unknown[] = [];
    held.release((...[, { bytes, start, end }, , to]) => {
      released.push([Buffer.from(bytes.subarray(start, end)).toString(), to]);
    });
    expect(released).toEqual([
      ['one', receipt],
      ['two', null],
    ]);
    expect(waiting.bytes).toBe(0);
    await held.over;
  });

  it('fail one by one if the other shard does not take them', () => {
    const { held, failed, receipt, lost } = hold();
    held.add(topic, payloadOf('one'), null, receipt, null);
    held.add(topic, payloadOf('two'), null, null, null);
    held.release(() => {
      throw new ReplyError('overloaded', 'Too many.');
    });
    expect(failed).toEqual(['overloaded']);
    expect(lost).toEqual([topic]);
  });

  it('are refused after a second, and so are those that follow', async () => {
    const { held, waiting, counters, failed, receipt, lost } = hold();
    held.add(topic, payloadOf('one'), null, receipt, null);
    held.add(topic, payloadOf('two'), null, null, null);
    await held.over;
    expect(failed).toEqual(['unavailable']);
    expect(() => held.add(topic, payloadOf('three'), null, receipt, null)).toThrow(ReplyError);
    held.add(topic, payloadOf('four'), null, null, null);
    expect(counters.publicationsUnrelayed).toBe(2);
    expect(lost).toEqual([topic, topic]);
    expect(waiting.bytes).toBe(0);
    held.release(() => expect.unreachable());
  });

  it('are refused at once if too many bytes wait for Redis', () => {
    const { held, counters, receipt } = hold(20);
    expect(() => held.add(topic, payloadOf('x'.repeat(30)), null, receipt, null)).toThrow(
      expect.objectContaining({ code: 'overloaded' }),
    );
    expect(counters.publicationsOverloaded).toBe(1);
    held.refuse();
  });
});
