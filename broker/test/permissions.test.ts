/** Permissions that a token grants, and those that it does not. */
import { parseTopic, type Topic } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { actions, maxCachedTopics, maxPatterns, Permissions, readGrants } from '../src/auth/permissions.js';

function topicOf(text: string): Topic {
  const topic = parseTopic(text);
  if (topic === null) throw new Error(`${text} is not a topic.`);
  return topic;
}

/** The sentences about mistakes. */
function wrong(value: unknown): string[] {
  const sentences: string[] = [];
  readGrants(value, (sentence) => sentences.push(sentence));
  return sentences;
}

describe('permissions', () => {
  it('grant nothing by default', () => {
    for (const action of actions) expect(new Permissions({}).allows(action, topicOf('a'))).toBe(false);
    for (const action of actions) expect(new Permissions({ [action]: [] }).allows(action, topicOf('a'))).toBe(false);
  });

  it.each([
    ['chat.*', 'chat.1', true],
    ['chat.*', 'chat.1.a', false],
    ['chat.*', 'chat', false],
    ['chat.>', 'chat.1.a', true],
    ['chat.>', 'chatter.1', false],
    ['>', 'anything.at.all', true],
    ['*', 'a.b', false],
    ['news', 'News', false],
    ['constructor', 'constructor', true],
    ['a', 'constructor', false],
  ])('with pattern %s for topic %s return %s, also on a repeated question', (pattern, topic, isGranted) => {
    const permissions = new Permissions({ publish: [pattern] });
    for (let times = 0; times < 2; times++) expect(permissions.allows('publish', topicOf(topic))).toBe(isGranted);
  });

  it('of one action do not affect another, in any order of questions; only subscribe grants history too', () => {
    for (const granted of actions) {
      const permissions = new Permissions({ [granted]: ['t'] });
      for (const order of [actions, actions.toReversed(), actions]) {
        for (const action of order) {
          const isGranted = action === granted || (action === 'history' && granted === 'subscribe');
          expect(permissions.allows(action, topicOf('t'))).toBe(isGranted);
        }
      }
    }
  });

  it('are cached for a bounded number of topics, and correct after they were dropped from the cache', () => {
    const permissions = new Permissions({ publish: ['a.*'], subscribe: ['b.*'] });
    let most = 0;
    for (let index = 0; index < 2.5 * maxCachedTopics; index++) {
      const topic = topicOf(`${index % 2 === 0 ? 'a' : 'b'}.${index}`);
      expect(permissions.allows('publish', topic)).toBe(index % 2 === 0);
      expect(permissions.allows('subscribe', topic)).toBe(index % 2 === 1);
      most = Math.max(most, permissions.cachedTopics);
    }
    expect(most).toBe(maxCachedTopics);
    expect(permissions.allows('publish', topicOf('a.0'))).toBe(true);
  });
});

describe('grants', () => {
  it('are read unchanged', () => {
    const grants = { publish: ['chat.*'], subscribe: ['chat.>', 'news'], history: [], presence: ['>'] };
    expect(readGrants(grants, () => expect.unreachable())).toEqual(grants);
    expect(wrong({})).toEqual([]);
    expect(wrong({ publish: Array(maxPatterns).fill('a') })).toEqual([]);
  });

  it.each([
    ['null', null, 'must be an object'],
    ['a list', [], 'must be an object'],
    ['a text', 'publish', 'must be an object'],
    ['an unknown action', { read: ['a'] }, 'action 1 is unknown'],
    ['what every object has', JSON.parse('{"__proto__":["a"]}'), 'action 1 is unknown'],
    ['a pattern without a list', { publish: '>' }, 'publish must be a list of patterns'],
    ['a number among patterns', { publish: ['a', 7] }, 'publish must be a list of patterns'],
    ['an empty pattern', { history: ['a', ''] }, 'pattern 2 of history is empty'],
    ['too many', { publish: Array(maxPatterns).fill('a'), subscribe: ['b'] }, `${maxPatterns + 1} patterns`],
  ])('are refused with a sentence for %s', (_, value, beginning) => {
    const sentences = wrong(value);
    expect(sentences.length).toBe(1);
    expect(sentences[0]).toMatch(new RegExp(`^${beginning}.*\\.$`));
  });
});
