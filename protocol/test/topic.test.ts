import { describe, expect, it } from 'vitest';
import { explainInvalidTopic, maxTopicBytes, parseTopic, TopicReader } from '../src/index.js';

const segments = (count: number): string => Array(count).fill('a').join('.');

describe('a topic', () => {
  it.each(['a', 'news', 'prices.BTC-EUR', 'A_b-9.0', '-', '_', '0', segments(16), 'x'.repeat(maxTopicBytes)])(
    'may be %s',
    (text) => {
      expect(parseTopic(text)).toBe(text);
    },
  );

  it('is case-sensitive', () => {
    expect(parseTopic('News')).not.toBe(parseTopic('news'));
  });

  it.each([
    ['', 'The topic is empty.'],
    ['x'.repeat(201), 'The topic is longer than 200 bytes.'],
    ['é'.repeat(201), 'The topic is longer than 200 bytes.'],
    ['a.*', 'The topic "a.*" has a wildcard; "*" and ">" are reserved.'],
    ['>', 'The topic ">" has a wildcard; "*" and ">" are reserved.'],
    ['$sys', 'The topic "$sys" begins with "$", which is reserved for the system.'],
    ['.a', 'The topic ".a" has an empty segment.'],
    ['a.', 'The topic "a." has an empty segment.'],
    ['a..b', 'The topic "a..b" has an empty segment.'],
    ['.', 'The topic "." has an empty segment.'],
    ['a b', 'The topic "a b" has a character outside A-Z a-z 0-9 _ - and the "." between segments.'],
    ['a$', 'The topic "a$" has a character outside A-Z a-z 0-9 _ - and the "." between segments.'],
    ['a\n', 'The topic "a\\n" has a character outside A-Z a-z 0-9 _ - and the "." between segments.'],
    ['münchen', 'The topic "münchen" has a character outside A-Z a-z 0-9 _ - and the "." between segments.'],
    ['\ud800', 'The topic "\\ud800" has a character outside A-Z a-z 0-9 _ - and the "." between segments.'],
    [segments(17), `The topic "${segments(17)}" has more than 16 segments.`],
  ])('cannot be %j, and the error gives the reason', (text, sentence) => {
    expect(parseTopic(text)).toBeNull();
    expect(explainInvalidTopic(text)).toBe(sentence);
  });
});

describe('a topic read from a frame', () => {
  const read = (reader: TopicReader, text: string): string | null => {
    const bytes = new TextEncoder().encode(`<${text}>`);
    return reader.read(bytes, 1, bytes.length - 1);
  };

  it('is correct the first time and every later time', () => {
    const reader = new TopicReader();
    for (const text of ['news', 'news', 'sport', 'news', 'new', 'newss', 'n.ews'])
      expect(read(reader, text)).toBe(text);
  });

  it('is correct even if more topics are in use than the reader remembers', () => {
    const reader = new TopicReader();
    const topics = Array.from({ length: 20_000 }, (_, index) => `topic-${index}`);
    const wrong = [...topics, ...topics].filter((text) => read(reader, text) !== text);
    expect(wrong).toStrictEqual([]);
  });

  it('is null if the bytes break the grammar, even right after a valid topic', () => {
    const reader = new TopicReader();
    for (const text of ['', 'a', 'a b', 'a', 'é', 'x'.repeat(201), 'a.'])
      expect(read(reader, text)).toBe(parseTopic(text));
  });
});
