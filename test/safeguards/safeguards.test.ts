/** The list of safeguards is true to the code and stands in the docs; that each test fails without its safeguard is `npm run safeguards`. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { safeguards } from './safeguards.js';

const read = (file: string): string => readFileSync(fileURLToPath(new URL(`../../${file}`, import.meta.url)), 'utf8');

describe.each(safeguards)('the safeguard "$name"', ({ name, about, file, find, replace, testFile, test }) => {
  it('stands in the code once, and its test is there', () => {
    expect(read(file).split(find).length - 1).toBe(1);
    expect(replace).not.toBe(find);
    // Both relays run one contract.
    expect(read(testFile) + read('broker/test/relay.contract.ts')).toContain(test);
  });

  it('stands in docs/guarantees.md', () => {
    expect(read('docs/guarantees.md')).toContain(`| ${name} | ${about} | \`${testFile}\`: ${test} |`);
  });
});

it('docs/guarantees.md lists no other', () => {
  const section = read('docs/guarantees.md').split('## Safeguards')[1]?.split('\n## ')[0] ?? '';
  expect(section.split('\n').filter((line) => /^\| (?!safeguard|-)/.test(line)).length).toBe(safeguards.length);
});
