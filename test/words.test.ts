/** Words and phrases that must not return to names, comments, messages and pages: all Markdown and TypeScript files are checked. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

interface Word {
  readonly phrase: string;
  /** Found in one line; upper case counts too. */
  readonly pattern: RegExp;
  readonly instead: string;
}

const words: readonly Word[] = [
  {
    phrase: 'anew',
    pattern: /\banew\b/i,
    instead: 'again',
  },
  {
    phrase: 'whoever',
    pattern: /\bwhoever\b/i,
    instead: 'anyone who',
  },
  {
    phrase: 'so many',
    pattern: /\bso many\b/i,
    instead: 'that many',
  },
  {
    phrase: 'beside',
    pattern: /\bbeside\b/i,
    instead: 'next to',
  },
  {
    phrase: 'what comes',
    pattern: /\bwhat comes\b/i,
    instead: 'a noun, such as "incoming frames"',
  },
  {
    phrase: 'stands',
    pattern: /\bstands?(?! for\b)\b/i,
    instead: 'is, or hangs',
  },
  {
    phrase: 'is none',
    pattern: /\b(?:(?<!there )(?:is|are) none)\b/i,
    instead: 'is not one, or is invalid',
  },
  {
    phrase: 'told',
    pattern: /\b(?:told|tells)\b/i,
    instead: 'notified, logs or says',
  },
  {
    phrase: 'complains',
    pattern: /\b(?:complain(?:s|ed)?)\b/i,
    instead: 'warns',
  },
  {
    phrase: 'besiege',
    pattern: /\b(?:besiege[sd]?|sieges?)\b/i,
    instead: 'attack',
  },
  {
    phrase: 'where there is',
    pattern: /\b(?:where there (?:is|are))\b/i,
    instead: 'if there is',
  },
  {
    phrase: 'null where',
    pattern: /\bnull where\b/i,
    instead: 'null if',
  },
  {
    phrase: 'mend',
    pattern: /\b(?:mend(?:s|ed|ing)?)\b/i,
    instead: 'fix',
  },
  {
    phrase: 'of before',
    pattern: /\bof before\b/i,
    instead: 'earlier',
  },
  {
    phrase: 'the doors',
    pattern: /\bthe doors\b/i,
    instead: 'the thing itself, such as authentication',
  },
  {
    phrase: 'where the topic has',
    pattern: /\b(?:where (?:the|a|its|their) topics? (?:has|have|keeps?))\b/i,
    instead: 'if the topic keeps',
  },
  {
    phrase: 'machine who',
    pattern: /\b(?:(?:node|client|process|server|machine|worker|connection|program)s? who)\b/i,
    instead: 'machine that',
  },
  {
    phrase: 'falls silent',
    pattern: /\b(?:(?:falls?|fell|fallen) silent)\b/i,
    instead: 'becomes idle',
  },
  {
    phrase: 'in vain',
    pattern: /\bin vain\b/i,
    instead: 'without success',
  },
  {
    phrase: 'serves as well',
    pattern: /\bserves? as well\b/i,
    instead: 'also works',
  },
  {
    phrase: 'is that of',
    pattern: /\b(?:(?:is|are|be|was|were) (?:that|those) of)\b/i,
    instead: 'belongs to, or repeat the noun',
  },
  {
    phrase: 'of which',
    pattern: /\bof which\b/i,
    instead: 'a second sentence, or "whose"',
  },
  {
    phrase: 'is waited for',
    pattern: /\b(?:(?:is|are|be|was|were|not) waited for)\b/i,
    instead: 'who waits: "nodes wait for …"',
  },
  {
    phrase: 'cannot be asked',
    pattern: /\b(?:(?:cannot|could not) be asked)\b/i,
    instead: 'does not answer',
  },
  {
    phrase: 'is another one',
    pattern: /\b(?:(?:is|are|was|were) another one)\b/i,
    instead: 'is different, or has changed',
  },
  {
    phrase: 'to be called',
    pattern: /\bto be called\b/i,
    instead: '"Call it …"',
  },
  {
    phrase: 'likewise',
    pattern: /\blikewise\b/i,
    instead: 'also, or in the same way',
  },
  {
    phrase: 'goes on',
    pattern: /\b(?:goes|went) on\b/i,
    instead: 'continues',
  },
  {
    phrase: 'anything further',
    pattern: /\b(?:(?:any|no)thing further)\b/i,
    instead: 'anything else, or nothing more',
  },
  {
    phrase: 'as a maximum, "Most"',
    pattern: /(?:\/\*\*|\/\/) Most [a-z]+ (?:that|of|whose)\b/,
    instead: 'Maximum number of',
  },
];

const root = fileURLToPath(new URL('..', import.meta.url));

/** Each file with its lines, without this one. */
const files: readonly (readonly [path: string, lines: readonly string[]])[] = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '*.md', '*.ts'],
  { cwd: root, encoding: 'utf8' },
)
  .split('\0')
  .filter((path) => path !== '' && path !== 'test/words.test.ts' && existsSync(join(root, path)))
  .map((path) => [path, readFileSync(join(root, path), 'utf8').split('\n')]);

function sentencesOn({ phrase, pattern, instead }: Word, path: string, lines: readonly string[]): string[] {
  return lines.flatMap((line, index) =>
    pattern.test(line) ? [`${path}:${index + 1} has "${phrase}": write ${instead}.`] : [],
  );
}

it.each(words)('nothing contains "$phrase"', (word) => {
  expect(files.flatMap(([file, lines]) => sentencesOn(word, file, lines))).toEqual([]);
});
