/** The grammar of topics and of patterns. */
import { explainInvalidPattern } from '@fanfare/broker/internal/topics/pattern-tree';
import { TopicPolicies } from '@fanfare/broker/internal/topics/policy';
import { explainInvalidTopic, maxTopicBytes, maxTopicSegments, parseTopic, TopicReader } from '@fanfare/protocol';
import { hold, holdSentence, type Target, texts } from '../target.js';

const reader = new TopicReader();

/** The grammar of PROTOCOL.md section 2, written in another way. */
function isTopic(bytes: Uint8Array): boolean {
  const segments = Buffer.from(bytes).toString('latin1').split('.');
  return (
    bytes.length <= maxTopicBytes &&
    segments.length <= maxTopicSegments &&
    segments.every((segment) => segment !== '' && [...segment].every((character) => /[A-Za-z0-9_-]/.test(character)))
  );
}

export const topic: Target = {
  about: 'topics and patterns of topics',
  seeds: texts(
    'news',
    'a.b.c',
    'a..b',
    '.a',
    'a.',
    'a.*',
    '>',
    '$sys',
    'ä',
    'a b',
    `${'a.'.repeat(16)}a`,
    'x'.repeat(201),
  ),
  words: ['.', '*', '>', '$', 'news', 'a.', '\u2028', '\u0000'],
  files: ['protocol/dist/topic', 'broker/dist/topics/pattern-tree'],
  maxBytes: 4_096,
  run(input) {
    const text = Buffer.from(input).toString('latin1');
    const parsed = parseTopic(text);
    hold((parsed !== null) === isTopic(input), () => `parseTopic says ${parsed}.`);
    // Twice, because it looks up known topics in another way. And in the middle of other bytes.
    hold(reader.read(input, 0, input.length) === parsed, () => 'TopicReader and parseTopic disagree.');
    const framed = Uint8Array.from([0x61, ...input, 0x61]);
    hold(reader.read(framed, 1, framed.length - 1) === parsed, () => 'TopicReader disagrees with itself.');
    if (parsed === null) holdSentence(explainInvalidTopic(text));
    const decoded = new TextDecoder().decode(input);
    if (parseTopic(decoded) === null) holdSentence(explainInvalidTopic(decoded));
    const rule = explainInvalidPattern(text);
    if (rule !== null) return holdSentence(`${rule}.`);
    const policies = new TopicPolicies([[text, { historySize: 7 }]]);
    const isOf = parsed !== null && policies.of(parsed).historySize === 7;
    hold(parsed === null || isOf, () => 'A pattern that is a topic does not match it.');
  },
};
