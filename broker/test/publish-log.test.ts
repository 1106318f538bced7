/** Publications that a node remembers: every topic for the whole window, the publications themselves up to a limit. */
import { parseTopic, type Topic } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { type LoggedTopic, PublishLog } from '../src/relay/publish-log.js';
import { RelayPart, RelayShare } from '../src/relay/relay-share.js';

const times = { rememberMs: 3_000, maxHeartbeatMs: 1_000 };
const turnsToForget = 3 + 1;

/** The share of the only relay. */
const newPart = (): RelayPart =>
  new RelayPart(new RelayShare({ flushWindowMs: 0, recentBytes: 0, maxRelayBytes: 0 }, 1), 1);

const named = (name: string): Topic => parseTopic(name) as Topic;

function entry(offset: number, { epoch = '1', bytes = 1, count = 1 } = {}) {
  return { epoch, first: offset, last: offset + count - 1, bytes: Buffer.alloc(bytes) };
}

function topicsOf(published: PublishLog): Map<string, LoggedTopic> {
  return new Map([...published.topics()].map((topic) => [topic.topic, topic]));
}

describe('the publish log of a node', () => {
  it('reports a topic as idle a period after its last publication, even if earlier ones were repeated in the meantime', () => {
    const published = new PublishLog(times, newPart());
    published.add(named('t'), entry(100));
    published.add(named('t'), entry(5));
    published.add(named('busy'), entry(1));
    expect(published.endPeriod()).toEqual([]);
    published.add(named('busy'), entry(2));
    expect(published.endPeriod()).toEqual([{ topic: 't', epoch: '1', offset: 100 }]);
    expect(published.endPeriod()).toEqual([{ topic: 'busy', epoch: '1', offset: 2 }]);
    expect(published.endPeriod()).toEqual([]);
  });

  it('remembers publications by topic, in order of offset, of the newest epoch only', () => {
    const published = new PublishLog(times, newPart());
    published.add(named('t'), entry(9, { epoch: '1' }));
    published.endPeriod();
    published.add(named('t'), entry(3, { epoch: '2', count: 2 }));
    published.add(named('t'), entry(1, { epoch: '2' }));
    expect(topicsOf(published).get('t')).toEqual({
      topic: 't',
      epoch: '2',
      offset: 4,
      entries: [entry(1, { epoch: '2' }), entry(3, { epoch: '2', count: 2 })],
      isThinned: false,
    });
  });

  it('forgets publications after the window, and not before', () => {
    const published = new PublishLog(times, newPart());
    published.add(named('t'), entry(1));
    for (let turn = 1; turn < turnsToForget; turn++) published.endPeriod();
    expect(topicsOf(published).get('t')?.offset).toBe(1);
    published.endPeriod();
    expect(topicsOf(published).size).toBe(0);
  });

  it('remembers the position of a topic if its publications are too large', () => {
    const published = new PublishLog(times, newPart());
    published.add(named('first'), entry(7));
    for (let number = 1; number <= 20; number++) published.add(named('large'), entry(number, { bytes: 1_048_576 }));
    published.add(named('last'), entry(8));
    const topics = topicsOf(published);
    expect(topics.get('first')).toEqual({ topic: 'first', epoch: '1', offset: 7, entries: [], isThinned: true });
    expect(topics.get('large')).toMatchObject({ offset: 20, isThinned: true });
    expect(topics.get('large')?.entries.at(-1)).toMatchObject({ first: 20 });
    expect(topics.get('last')).toMatchObject({ offset: 8, isThinned: false });
    expect(topics.get('last')?.entries.length).toBe(1);
    expect(published.isComplete).toBe(true);
  });

  it('reports that it forgot something within the window if there are too many topics', () => {
    const published = new PublishLog(times, newPart());
    for (let number = 0; number < 200_000; number++) published.add(named(`t.${number}`), entry(1));
    expect(published.isComplete).toBe(true);
    published.add(named('one.more'), entry(1));
    expect(published.isComplete).toBe(false);
    for (let turn = 1; turn < turnsToForget; turn++) published.endPeriod();
    expect(published.isComplete).toBe(false);
    published.endPeriod();
    expect(published.isComplete).toBe(true);
  });

  it('hands topics over to the log of another relay, with their memory', () => {
    const share = newPart();
    const [from, to] = [new PublishLog(times, share), new PublishLog(times, share)];
    from.add(named('moved'), entry(1));
    from.add(named('stays'), entry(7));
    from.endPeriod();
    from.add(named('moved'), entry(2));
    const bytes = share.logged.bytes;
    from.handOver((topic) => topic === 'moved', to);
    expect([...topicsOf(from).keys()]).toEqual(['stays']);
    expect(topicsOf(to).get('moved')).toMatchObject({ offset: 2, entries: [entry(1), entry(2)], isThinned: false });
    expect(share.logged.bytes).toBe(bytes);
    from.add(named('renewed'), entry(1, { epoch: '1' }));
    to.add(named('renewed'), entry(1, { epoch: '2' }));
    const both = share.logged.bytes;
    from.handOver((topic) => topic === 'renewed', to);
    expect(topicsOf(to).get('renewed')).toMatchObject({ epoch: '2', entries: [entry(1, { epoch: '2' })] });
    expect(share.logged.bytes).toBe(both - (both - bytes) / 2);
    expect(from.endPeriod()).toEqual([{ topic: 'stays', epoch: '1', offset: 7 }]);
    for (let turn = 0; turn < turnsToForget; turn++) from.endPeriod();
    expect(topicsOf(from).size).toBe(0);
    from.handOver(() => true, to);
  });

  it('hands the bytes of publications over to the part of the other relay', () => {
    const [one, other] = [newPart(), newPart()];
    const [from, to] = [new PublishLog(times, one), new PublishLog(times, other)];
    from.add(named('moved'), entry(1, { bytes: 1_000 }));
    from.add(named('moved'), entry(2));
    const { bytes } = one.logged;
    from.handOver(() => true, to);
    expect([one.logged.bytes, other.logged.bytes]).toEqual([0, bytes]);
    for (let turn = 0; turn <= turnsToForget; turn++) to.endPeriod();
    expect(other.logged.bytes).toBe(0);
  });

  it('hands publications over with their age', () => {
    const share = newPart();
    const [from, to] = [new PublishLog(times, share), new PublishLog(times, share)];
    for (let turn = 0; turn < 3; turn++) to.endPeriod();
    from.add(named('old'), entry(1));
    const addedAt = performance.now();
    for (let turn = 1; turn < turnsToForget; turn++) from.endPeriod();
    while (performance.now() === addedAt);
    to.add(named('own'), entry(1));
    from.handOver(() => true, to);
    const ages = [...to.topics(performance.now() - addedAt)].map(({ topic, entries }) => [topic, entries.length]);
    expect(Object.fromEntries(ages)).toEqual({ old: 0, own: 1 });
    to.endPeriod();
    expect([...topicsOf(to).keys()]).toEqual(['own']);
    expect([from.handOver(() => true, to), to.isComplete]).toEqual([false, true]);
  });

  it('hands over the positions of topics whose publications it has forgotten, and whether it has forgotten topics', () => {
    const share = newPart();
    const [before, after] = [new PublishLog(times, share), new PublishLog(times, share)];
    before.add(named('first'), entry(7));
    for (let number = 1; number <= 20; number++) before.add(named('large'), entry(number, { bytes: 1_048_576 }));
    const shortOf = (log: PublishLog) =>
      [...log.topics()].map(({ topic, offset, entries, isThinned }) => [topic, offset, entries.length, isThinned]);
    const moved = shortOf(before);
    before.handOver(() => true, after);
    expect(topicsOf(before).size).toBe(0);
    expect(shortOf(after)).toEqual(moved);
    expect(moved[0]).toEqual(['first', 7, 0, true]);
    expect(after.isComplete).toBe(true);
    for (let number = 0; number <= 200_000; number++) before.add(named(`t.${number}`), entry(1));
    before.handOver((topic) => topic === 't.200000', after);
    expect(after.isComplete).toBe(false);
    for (let turn = 1; turn <= turnsToForget; turn++) after.endPeriod();
    expect([topicsOf(after).size, after.isComplete]).toEqual([0, true]);
  });
});
