import { parseTopic, type Topic } from '@fanfare/protocol';
import { expect, it } from 'vitest';
import { Published } from '../src/relay/published.js';

it('says of a topic that has fallen silent where it stands, whatever was published to it again', () => {
  const published = new Published();
  const topic = parseTopic('t') as Topic;
  const entry = (offset: number) => ({ topic, epoch: '1', first: offset, last: offset, bytes: Buffer.alloc(1) });
  const from = performance.now();
  published.add(entry(100));
  published.add(entry(5), true);
  expect([...published.fallenSilent(from, Number.POSITIVE_INFINITY)]).toEqual([entry(100)]);
  expect(published.byTopic().get(topic)).toEqual([entry(5), entry(100)]);
});
