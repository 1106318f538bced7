/**
 * The list of safeguards matches the code and the docs. `npm run safeguards` checks that each test fails without its
 * safeguard.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { safeguards } from './safeguards.js';

const read = (file: string): string => readFileSync(fileURLToPath(new URL(`../../${file}`, import.meta.url)), 'utf8');

describe.each(safeguards)('the safeguard "$name"', ({ name, about, file, find, replace, testFile, test }) => {
  it('is in the code once and has a test', () => {
    expect(read(file).split(find).length - 1).toBe(1);
    expect(replace).not.toBe(find);
    // Both relays run one contract.
    expect(read(testFile) + read('broker/test/relay.contract.ts')).toContain(test);
  });

  it('is in docs/reference/safeguards.md, which `npm run docs` writes', () => {
    expect(read('docs/reference/safeguards.md')).toContain(`| ${name} | ${about} | \`${testFile}\`: ${test} |`);
  });
});
