/** Deeply nested bodies are refused before they are parsed. */
import { expect, it } from 'vitest';
import { isTooDeep } from '../src/http/json-depth.js';
import { parseJson } from '../src/http/publication.js';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const nested = (levels: number, inside = ''): string => '['.repeat(levels) + inside + ']'.repeat(levels);

it.each([
  ['128 levels in an item of a batch', `{"publications":[{"data":${nested(128)}}],"x":"${'x'.repeat(2_000)}"}`, false],
  ['brackets in strings', `["${'['.repeat(5_000)}","\\"${'{'.repeat(5_000)}"]`, false],
  ['many arrays next to each other', `[${Array(5_000).fill('[]').join(',')}]`, false],
  ['a few levels more, which the parser of the data names', nested(600), false],
  ['more levels', nested(1_200), true],
  ['objects without end', '{"a":'.repeat(1_200), true],
  ['a text that is no JSON', `]]]]${'['.repeat(5_000)}`, true],
])('%s', (_, text, isDeep) => {
  expect(isTooDeep(utf8(text))).toBe(isDeep);
});

it('a mebibyte of brackets is refused at the level that is too deep', () => {
  const body = utf8('['.repeat(1_048_576));
  expect(() => parseJson(body)).toThrow('The body is nested deeper than 128 levels.');
});
