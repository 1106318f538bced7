/**
 * Whether the tools have changed since `npm run test:tools` passed last: .ci/tools-tested holds a hash of all files that they are made of.
 * `check` ends with code 1 if they have; `record` writes the present hash.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

const record = new URL('tools-tested', import.meta.url);
const root = new URL('..', import.meta.url);
/** The tools, and the parts of the product that only their tests attack under load. */
const paths = [
  'loadtest',
  'tools',
  'vitest.tools.config.ts',
  'broker/src/auth',
  'broker/src/connection',
  'broker/src/limits',
];

const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard', ...paths], {
  cwd: root,
}).toString();
const hash = createHash('sha256');
for (const file of files.split('\0').filter(Boolean).toSorted())
  hash
    .update(file)
    .update('\0')
    .update(readFileSync(new URL(file, root)));
const present = `${hash.digest('hex')}\n`;

if (process.argv[2] === 'record') writeFileSync(record, present);
else process.exitCode = present === readOr('') ? 0 : 1;

function readOr(other) {
  try {
    return readFileSync(record, 'utf8');
  } catch {
    return other;
  }
}
