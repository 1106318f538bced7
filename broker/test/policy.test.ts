/** The policy of a topic if several patterns match it. */
import { parseTopic, type Topic } from '@fanfare/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { explainInvalidPattern } from '../src/topics/pattern-tree.js';
import { defaultPolicy, maxRememberedTopics, TopicPolicies } from '../src/topics/policy.js';

function topicOf(text: string): Topic {
  const topic = parseTopic(text);
  if (topic === null) throw new Error(`${text} is not a topic.`);
  return topic;
}

/** Distinguishable policies: the history size of each pattern is its place in the list, from 1. */
function numbered(patterns: readonly string[]): TopicPolicies {
  return new TopicPolicies(patterns.map((pattern, index) => [pattern, { historySize: index + 1 }]));
}

/** The pattern that applies to a topic, or null if the default applies. */
function holds(patterns: readonly string[], topic: string): string | null {
  const policy = numbered(patterns).of(topicOf(topic));
  return policy === defaultPolicy ? null : (patterns[policy.historySize - 1] ?? null);
}

describe('a pattern', () => {
  it.each([
    ['news', 'news', true],
    ['news', 'News', false],
    ['news', 'news.a', false],
    ['news.a', 'news', false],
    ['*', 'news', true],
    ['*', 'news.a', false],
    ['news.*', 'news', false],
    ['news.*', 'news.a', true],
    ['news.*', 'news.a.b', false],
    ['*.a', 'news.a', true],
    ['news.*.b', 'news.a.b', true],
    ['news.*.b', 'news.a.c', false],
    ['>', 'news', true],
    ['>', 'news.a.b', true],
    ['news.>', 'news', false],
    ['news.>', 'news.a', true],
    ['news.>', 'news.a.b.c', true],
    ['news.>', 'newsletter.a', false],
    ['news.*.>', 'news.a', false],
    ['news.*.>', 'news.a.b', true],
    ['*.>', 'news.a.b', true],
    ['__proto__', '__proto__', true],
    ['__proto__', 'toString', false],
    ['constructor.*', 'constructor.a', true],
    ['a', 'constructor', false],
  ])('%s matches %s: %s', (pattern, topic, isMatch) => {
    expect(holds([pattern], topic)).toBe(isMatch ? pattern : null);
  });

  it.each([
    ['', 'is empty'],
    ['a'.repeat(201), 'is longer than 200 bytes'],
    [Array(17).fill('a').join('.'), 'has more than 16 segments'],
    ['.', 'has an empty segment'],
    ['a..b', 'has an empty segment'],
    ['a.', 'has an empty segment'],
    ['pri*', 'has a "*" or ">" next to other characters; each must be a whole segment'],
    ['a.>>', 'has a "*" or ">" next to other characters; each must be a whole segment'],
    ['>.a', 'has a ">" that is not its last segment'],
    ['a.>.>', 'has a ">" that is not its last segment'],
    ['$system', 'has a character outside A-Z a-z 0-9 _ - * > and the "." between segments'],
    ['a b', 'has a character outside A-Z a-z 0-9 _ - * > and the "." between segments'],
    ['a\n', 'has a character outside A-Z a-z 0-9 _ - * > and the "." between segments'],
  ])('%j is invalid: it %s', (pattern, rule) => {
    expect(explainInvalidPattern(pattern)).toBe(rule);
  });

  it('is valid exactly if it is a topic once its wildcards are letters, and ">" is last', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '>', '$', '-'), maxLength: 12 });
    fc.assert(
      fc.property(fc.oneof(text, pattern), (candidate) => {
        const segments = candidate.split('.');
        const isLast = !segments.slice(0, -1).includes('>');
        const letters = segments.map((segment) => (segment === '*' || segment === '>' ? 'x' : segment)).join('.');
        expect(explainInvalidPattern(candidate) === null).toBe(isLast && parseTopic(letters) !== null);
      }),
    );
  });
});

describe('of several patterns that match', () => {
  it.each([
    ['a.b', ['a.b', 'a.*', 'a.>', '*.b', '*.*', '*.>', '>']],
    ['a.b.c', ['a.b.c', 'a.b.*', 'a.b.>', 'a.*.c', 'a.*.*', 'a.*.>', 'a.>', '*.b.c', '*.*.>', '*.>', '>']],
  ])('the most specific applies, for %s', (topic, mostSpecificFirst) => {
    mostSpecificFirst.forEach((expected, index) => {
      const patterns = mostSpecificFirst.slice(index);
      expect(holds(patterns, topic)).toBe(expected);
      expect(holds(patterns.toReversed(), topic)).toBe(expected);
    });
  });

  it('a less specific one applies if the more specific one does not match the rest of the topic', () => {
    expect(holds(['a.b.x', 'a.*.c'], 'a.b.c')).toBe('a.*.c');
    expect(holds(['a.b.x', 'a.*.x', '>'], 'a.b.c')).toBe('>');
  });

  it('the last applies if a pattern occurs twice', () => {
    expect(
      new TopicPolicies([
        ['a', { historySize: 1 }],
        ['a', { historySize: 2 }],
      ]).of(topicOf('a')).historySize,
    ).toBe(2);
  });

  it('the same one applies as with a naive search, for any patterns and topics', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(pattern, { maxLength: 12 }),
        fc.array(topic, { minLength: 1, maxLength: 12 }),
        (patterns, topics) => {
          const policies = numbered(patterns);
          // Twice: the cached policy is the one that was found.
          for (const each of [...topics, ...topics]) {
            const expected = naively(patterns, each);
            expect(policies.of(each)).toEqual(
              expected === null ? defaultPolicy : { ...defaultPolicy, historySize: patterns.indexOf(expected) + 1 },
            );
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

describe('the policy of a topic', () => {
  it('is the default if no pattern matches, or if there are no patterns', () => {
    expect(defaultPolicy).toEqual({
      level: 'recoverable',
      historySize: 500,
      historyAgeSeconds: 600,
      lastValue: false,
    });
    expect(new TopicPolicies().of(topicOf('a'))).toBe(defaultPolicy);
    expect(numbered(['a.>']).of(topicOf('b'))).toBe(defaultPolicy);
  });

  it('has the defaults for fields that its pattern omits, not the values of a less specific pattern', () => {
    const policies = new TopicPolicies(
      new Map([
        ['>', { historySize: 7, lastValue: true }],
        ['a.*', { level: 'durable' as const }],
        ['a.b', {}],
      ]),
    );
    expect(policies.of(topicOf('a.x'))).toEqual({ ...defaultPolicy, level: 'durable' });
    expect(policies.of(topicOf('a.b'))).toEqual(defaultPolicy);
    expect(policies.of(topicOf('z'))).toEqual({ ...defaultPolicy, historySize: 7, lastValue: true });
  });

  it('is one object for all topics of a pattern', () => {
    const policies = numbered(['a.*']);
    expect(policies.of(topicOf('a.b'))).toBe(policies.of(topicOf('a.c')));
  });

  it('is cached for a bounded number of topics, and found again after it was dropped from the cache', () => {
    const policies = numbered(['a.*', 'b.*']);
    const most = { remembered: 0 };
    for (let index = 0; index < 2.5 * maxRememberedTopics; index++) {
      const letter = index % 2 === 0 ? 'a' : 'b';
      expect(policies.of(topicOf(`${letter}.${index}`)).historySize).toBe(letter === 'a' ? 1 : 2);
      most.remembered = Math.max(most.remembered, policies.rememberedTopics);
    }
    expect(most.remembered).toBe(maxRememberedTopics);
    expect(policies.of(topicOf('a.0')).historySize).toBe(1);
  });

  it('is not cached if there are no patterns', () => {
    const policies = new TopicPolicies();
    policies.of(topicOf('a'));
    expect(policies.rememberedTopics).toBe(0);
  });
});

/** Few letters, so that patterns match topics; names that every object has, so that none is mistaken for an entry. */
const segment = fc.constantFrom('a', 'b', 'c', '__proto__', 'constructor');
const topic = fc.array(segment, { minLength: 1, maxLength: 5 }).map((segments) => topicOf(segments.join('.')));
const pattern = fc
  .tuple(fc.array(fc.oneof(segment, fc.constant('*')), { maxLength: 5 }), fc.boolean())
  .map(([segments, isOpen]) => [...segments, ...(isOpen || segments.length === 0 ? ['>'] : [])].join('.'));

/** Each pattern as a regular expression; the first match in the order of their kinds of segment. */
function naively(patterns: readonly string[], topic: Topic): string | null {
  const expression = (text: string): RegExp =>
    new RegExp(`^${text.replaceAll('.', '\\.').replaceAll('*', '[^.]+').replaceAll('>', '.+')}$`);
  const kinds = (text: string): string =>
    text
      .split('.')
      .map((segment) => (segment === '>' ? 2 : segment === '*' ? 1 : 0))
      .join('');
  const matching = patterns.filter((each) => expression(each).test(topic));
  return matching.toSorted((a, b) => (kinds(a) < kinds(b) ? -1 : 1))[0] ?? null;
}
