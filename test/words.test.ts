/**
 * Words and phrases that must not return to names, comments, messages and pages. All text files in git are checked.
 * Names are read as words: `gapsTold`, `gaps_told` and `gaps-told` contain "told".
 */
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

/** Names that contain a forbidden word but must stay, and why. They are removed from a line before it is checked. */
const kept: readonly { readonly name: RegExp; readonly why: string }[] = [
  { name: /\b(?:fanfare_)?(?:gaps|resets)_told(?:_total)?\b/g, why: 'Operators use these metrics.' },
  { name: /\bFanfare(?:Gaps|Resets)Told\b/g, why: 'Former names of alerts, in the changelog and the decisions.' },
  { name: /\binVain\b/g, why: 'Operators search for this state of the log event `rebalancing`.' },
  { name: /'told'|^-- +told {2,}/gm, why: 'A field in Redis: another name would need another layout.' },
];

const root = fileURLToPath(new URL('..', import.meta.url));

/** Files that others wrote, and this one. */
const ignored = new Set(['package-lock.json', 'LICENSE', 'test/words.test.ts']);

/** The text without the names that are kept, and then with the other names split into words. */
function readingsOf(text: string): readonly string[] {
  const checked = kept.reduce((rest, { name }) => rest.replace(name, ''), text);
  return [checked, checked.replace(/(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[_-]/g, ' ')];
}

/** The readings of each text file. The last line is its path. */
const files: readonly (readonly [path: string, readings: readonly string[]])[] = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
  { cwd: root, encoding: 'utf8' },
)
  .split('\0')
  .filter((path) => path !== '' && !ignored.has(path) && existsSync(join(root, path)))
  .flatMap((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    return text.includes('\0') ? [] : [[path, readingsOf(`${text}\n${path}`)] as const];
  });

function sentencesOn({ phrase, pattern, instead }: Word, path: string, readings: readonly string[]): string[] {
  // A phrase is in one line, so most files need no search by line.
  const found = readings.filter((reading) => pattern.test(reading)).flatMap((reading) => linesWith(pattern, reading));
  return [...new Set(found)].map((line) => `${path}:${line} has "${phrase}": write ${instead}.`);
}

function linesWith(pattern: RegExp, text: string): number[] {
  return text.split('\n').flatMap((line, index) => (pattern.test(line) ? [index + 1] : []));
}

it.each(words)('nothing contains "$phrase"', (word) => {
  expect(files.flatMap(([path, readings]) => sentencesOn(word, path, readings))).toEqual([]);
});

it.each(['gapsTold', 'GAPSTold', 'topics_told', 'gaps-told.md', "local told = get('told')"])(
  'finds "told" in %s',
  (text) => {
    const found = words.flatMap((word) => sentencesOn(word, 'file', readingsOf(`first\n${text}`)));
    expect(found).toEqual(['file:2 has "told": write notified, logs or says.']);
  },
);
