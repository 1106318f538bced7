/**
 * Which tools have changed since their tests passed last: .ci/tools-tested has a line for each tool, with a hash of all
 * files that its tests depend on. `changed` prints the folders of the tests to run, none if no tool has changed.
 * `record` writes the present hashes.
 *
 * The tests of a tool depend on the workspace of the tool, the workspaces that it imports according to package.json,
 * the files of other folders that its tests import, and the installed packages. They do not depend on a broker that
 * they only start as a process.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const record = join(root, '.ci/tools-tested');
const config = 'vitest.tools.config.ts';
/** What all tests depend on. */
const common = ['package.json', 'package-lock.json', 'tsconfig*.json', 'vitest.config.ts', config];

const read = (file) => readFileSync(join(root, file), 'utf8');
const run = (...command) =>
  execFileSync(command[0], command.slice(1), { cwd: root, encoding: 'utf8', maxBuffer: 100_000_000 });
const list = (...paths) =>
  run('git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', ...paths)
    .split('\0')
    .filter((file) => file !== '' && existsSync(join(root, file)));

const manifests = new Map(
  JSON.parse(read('package.json')).workspaces.map((folder) => [folder, JSON.parse(read(`${folder}/package.json`))]),
);
const folderOf = new Map([...manifests].map(([folder, { name }]) => [name, folder]));

/** The workspaces that have tests of tools, as Vitest finds them. */
function findTools() {
  const files = JSON.parse(run('npx', '--no-install', 'vitest', 'list', '--filesOnly', '--json', '--config', config));
  const isIn = (folder) => files.some(({ file }) => file.startsWith(join(root, folder, '/')));
  return [...manifests.keys()].filter(isIn).toSorted();
}

/** The workspaces that a workspace imports, also indirectly. */
function importedBy(tool) {
  const found = new Set();
  const visit = (dependencies) => {
    for (const folder of Object.keys(dependencies).flatMap((name) => folderOf.get(name) ?? [])) {
      if (folder === tool || found.has(folder)) continue;
      found.add(folder);
      visit(manifests.get(folder).dependencies ?? {});
    }
  };
  const { dependencies = {}, devDependencies = {} } = manifests.get(tool);
  visit({ ...dependencies, ...devDependencies });
  return [...found];
}

/** These files, and those that they import by a path, also indirectly. */
function withImports(files) {
  const found = new Set(files);
  for (const file of found) {
    if (!file.endsWith('.ts')) continue;
    for (const [, path] of read(file).matchAll(/\bfrom '(\.\.?\/[^']+)\.js'/g)) {
      const imported = `${normalize(join(file, '..', path))}.ts`;
      // A string in a test may look like an import.
      if (existsSync(join(root, imported))) found.add(imported);
    }
  }
  return [...found];
}

function hashOf(tool) {
  const sources = importedBy(tool).flatMap((folder) => [
    folder,
    `:(exclude)${folder}/test`,
    `:(exclude)${folder}/*.md`,
  ]);
  const files = new Set([
    ...withImports(list(tool)),
    ...list(...common),
    ...(sources.length > 0 ? list(...sources) : []),
  ]);
  const hash = createHash('sha256');
  for (const file of [...files].toSorted())
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

function readRecord() {
  try {
    return readFileSync(record, 'utf8').split('\n');
  } catch {
    return [];
  }
}

const lines = findTools().map((tool) => `${hashOf(tool)} ${tool}`);

if (process.argv[2] === 'record') writeFileSync(record, `${lines.join('\n')}\n`);
else {
  const passed = readRecord();
  const changed = lines.filter((line) => !passed.includes(line)).map((line) => `${line.split(' ')[1]}/test`);
  process.stdout.write(`${changed.join(' ')}\n`);
}
