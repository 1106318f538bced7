/** Limits of a node that its relays share: by the partitions that each serves, not by the number of relays. */
import { parseTopic, type Topic } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { PublishLog } from '../src/relay/publish-log.js';
import { RelayPart, RelayShare } from '../src/relay/relay-share.js';

const partitions = 64;
const maxRelayBytes = 1_000;

const newShare = (): RelayShare => new RelayShare({ flushWindowMs: 0, recentBytes: 0, maxRelayBytes }, partitions);

describe('the share of a relay', () => {
  it('in a limit of topics follows its partitions: all of it while it serves all', () => {
    const share = newShare();
    const [all, none, some] = [partitions, 0, 16].map((count) => new RelayPart(share, count));
    expect(all?.topics(200_000)).toBe(200_000);
    expect(some?.topics(200_000)).toBe(50_000);
    // It may already listen to topics that are about to move to it.
    expect(none?.topics(200_000)).toBe(3_125);
    if (some !== undefined) some.partitions = 32;
    expect(some?.topics(200_000)).toBe(100_000);
  });

  it('grows with partitions that move to it: its log then remembers their topics', () => {
    const share = newShare();
    const [from, to] = [new RelayPart(share, partitions), new RelayPart(share, 0)];
    const times = { rememberMs: 3_000, maxHeartbeatMs: 1_000 };
    const logs = [new PublishLog(times, from), new PublishLog(times, to)] as const;
    for (let number = 0; number < 10_000; number++)
      logs[0].add(parseTopic(`t.${number}`) as Topic, { epoch: '1', first: 1, last: 1, bytes: Buffer.alloc(1) });
    [from.partitions, to.partitions] = [0, partitions];
    const { bytes } = from.logged;
    logs[0].handOver(() => true, logs[1]);
    expect([from.logged.bytes, to.logged.bytes]).toEqual([0, bytes]);
    expect([...logs[1].topics()].length).toBe(10_000);
    expect(logs[1].isComplete).toBe(true);
  });

  it('in the bytes that wait for Redis is all of them, if it serves all partitions', () => {
    const { waiting } = new RelayPart(newShare(), partitions);
    expect(waiting.hasRoom(maxRelayBytes)).toBe(true);
    expect(waiting.hasRoom(maxRelayBytes + 1)).toBe(false);
    waiting.bytes += 400;
    waiting.bytes += 600;
    expect(waiting.hasRoom(1)).toBe(false);
    waiting.bytes -= 1;
    expect(waiting.hasRoom(1)).toBe(true);
  });

  it('in the bytes that wait for Redis has a reserve, which a Redis that does not answer leaves to the others', () => {
    const share = newShare();
    const [hung, healthy] = [new RelayPart(share, 32).waiting, new RelayPart(share, 32).waiting];
    // Half of all is for anyone, and a quarter is reserved for each.
    while (hung.hasRoom(1)) hung.bytes++;
    expect(hung.bytes).toBe(750);
    expect(healthy.hasRoom(250)).toBe(true);
    expect(healthy.hasRoom(251)).toBe(false);
    healthy.bytes += 250;
    expect([hung.hasRoom(1), healthy.hasRoom(1)]).toEqual([false, false]);
    hung.bytes = 0;
    expect(healthy.hasRoom(500)).toBe(true);
    healthy.bytes = 0;
    expect(share.waiting.excess).toBe(0);
  });

  it('follows its partitions also while publications wait', () => {
    const share = newShare();
    const [one, other] = [new RelayPart(share, partitions), new RelayPart(share, 0)];
    one.waiting.bytes = 750;
    expect(share.waiting.excess).toBe(250);
    [one.partitions, other.partitions] = [0, partitions];
    expect(share.waiting.excess).toBe(750);
    expect(other.waiting.hasRoom(500)).toBe(true);
    one.waiting.bytes = 0;
    expect(share.waiting.excess).toBe(0);
  });

  it('in the bytes of the log has a reserve: one busy topic leaves the others their memory', () => {
    const share = newShare();
    const times = { rememberMs: 3_000, maxHeartbeatMs: 1_000 };
    const [busy, quiet] = [1, 1].map((count) => new PublishLog(times, new RelayPart(share, count)));
    const add = (log: PublishLog | undefined, name: string, offset: number, bytes: number): void =>
      log?.add(parseTopic(name) as Topic, { epoch: '1', first: offset, last: offset, bytes: Buffer.alloc(bytes) });
    for (let offset = 1; offset <= 20; offset++) add(busy, 'busy', offset, 1_000_000);
    for (let offset = 1; offset <= 10; offset++) add(quiet, 'quiet', offset, 1_000);
    expect([...(busy?.topics() ?? [])]).toMatchObject([{ topic: 'busy', isThinned: true }]);
    const [kept] = [...(quiet?.topics() ?? [])];
    expect([kept?.entries.length, kept?.isThinned]).toEqual([10, false]);
  });
});
