/**
 * Which tools have changed since their tests passed last: .ci/tools-tested has a line for each tool, with a hash of all files that its tests
 * depend on. `changed` prints the folders of the tests to run, none if no tool has changed. `record` writes the present hashes.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

const record = new URL('tools-tested', import.meta.url);
const root = new URL('..', import.meta.url);
const shared = ['tools/kit', 'tools/local-cluster', 'vitest.tools.config.ts'];
/** Each tool, with the files other than its own and the shared ones that only its tests cover. */
const tools = {
  loadtest: [],
  'tools/abuse': ['broker/src/auth', 'broker/src/connection', 'broker/src/limits', 'broker/src/session'],
  'tools/fuzz': [],
  'tools/kit': [],
  'tools/local-cluster': [],
  'tools/verify': [],
};

function hashOf(paths) {
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard', ...paths], {
    cwd: root,
  }).toString();
  const hash = createHash('sha256');
  for (const file of files.split('\0').filter(Boolean).toSorted())
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(new URL(file, root)));
  return hash.digest('hex');
}

const lines = Object.entries(tools).map(([tool, more]) => `${hashOf([tool, ...shared, ...more])} ${tool}`);

if (process.argv[2] === 'record') writeFileSync(record, `${lines.join('\n')}\n`);
else {
  const passed = readOr('').split('\n');
  const changed = lines.filter((line) => !passed.includes(line)).map((line) => `${line.split(' ')[1]}/test`);
  process.stdout.write(`${changed.join(' ')}\n`);
}

function readOr(other) {
  try {
    return readFileSync(record, 'utf8');
  } catch {
    return other;
  }
}
