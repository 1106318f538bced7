/** The tarballs of the published packages, made in a clean clone by the documented command. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const root = fileURLToPath(new URL('../..', import.meta.url));

interface Ran {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command. An error contains its output. */
export async function run(cwd: string, command: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const [file = '', ...args] = command;
  try {
    return await promisify(execFile)(file, args, {
      cwd,
      env: { ...cleanEnvironment(), ...env },
      maxBuffer: 100_000_000,
    });
  } catch (error) {
    const { stdout, stderr } = error as Ran;
    throw new Error(`${command.join(' ')} failed.\n${stdout}\n${stderr}`, { cause: error });
  }
}

/** Without the settings of nodes, and without what `npm test` sets for its own project. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(?:FANFARE_|VITEST|NODE_ENV$|npm_(?!config_registry))/.test(name),
  );
  return Object.fromEntries(kept);
}

/** An empty folder that is removed at the end. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'fanfare-packages-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

export async function readManifest(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
}

async function workspaceFolders(): Promise<readonly string[]> {
  const { workspaces } = (await readManifest(root)) as unknown as { readonly workspaces: readonly string[] };
  return workspaces;
}

/** The folders of the workspaces that are published: they have the script `prepack`. */
export async function publishedFolders(): Promise<string[]> {
  const workspaces = await workspaceFolders();
  const manifests = await Promise.all(workspaces.map((folder) => readManifest(join(root, folder))));
  return workspaces.filter((_folder, index) => manifests[index]?.scripts?.['prepack'] !== undefined);
}

/**
 * A copy of the files that git has or would add, without any build output. It uses the packages of this checkout:
 * `npm ci` would take minutes.
 */
export async function cloneRepository(to: string): Promise<void> {
  const { stdout } = await run(root, ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']);
  const files = stdout.split('\0').filter((file) => file !== '');
  const folders = new Set(files.map((file) => dirname(file)));
  for (const folder of folders) await mkdir(join(to, folder), { recursive: true });
  // A file that was deleted but not committed is missing.
  await Promise.all(files.map((file) => cp(join(root, file), join(to, file)).catch(ignoreMissing)));
  await linkPackages(join(root, 'node_modules'), join(to, 'node_modules'));
  for (const folder of await workspaceFolders()) {
    await linkPackages(join(root, folder, 'node_modules'), join(to, folder, 'node_modules'));
  }
}

async function linkPackages(from: string, to: string): Promise<void> {
  const names: string[] = await readdir(from).catch(() => []);
  if (names.length === 0) return;
  await mkdir(to);
  // The links in @fanfare are relative: they lead to the workspaces of the copy.
  for (const name of names.filter((name) => name !== '@fanfare')) await symlink(join(from, name), join(to, name));
  if (!names.includes('@fanfare')) return;
  await mkdir(join(to, '@fanfare'));
  for (const name of await readdir(join(from, '@fanfare')))
    await symlink(await readlink(join(from, '@fanfare', name)), join(to, '@fanfare', name));
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

/** The tarballs in a clone after `npm run packages`, by the name of the package. */
export async function tarballsOf(clone: string): Promise<Map<string, string>> {
  const tarballs = new Map<string, string>();
  for (const folder of await publishedFolders()) {
    const { name, version } = await readManifest(join(clone, folder));
    tarballs.set(name, join(clone, 'packages', `${name.slice(1).replace('/', '-')}-${version}.tgz`));
  }
  return tarballs;
}

/** Installs a package without a registry: unpacks it and links its dependencies, which this checkout has. */
export async function unpackInto(project: string, tarball: string): Promise<string> {
  const unpacked = join(project, 'unpacked');
  await mkdir(unpacked);
  await run(unpacked, ['tar', '-xzf', tarball]);
  const { name, dependencies = {} } = await readManifest(join(unpacked, 'package'));
  const folder = join(project, 'node_modules', name);
  await mkdir(dirname(folder), { recursive: true });
  await cp(join(unpacked, 'package'), folder, { recursive: true });
  await rm(unpacked, { recursive: true });
  for (const dependency of Object.keys(dependencies)) {
    // A workspace may have another version than the others: npm would install it there too.
    const own = join(root, name.replace('@fanfare/', ''), 'node_modules', dependency);
    const [target, place] = existsSync(own) ? [own, folder] : [join(root, 'node_modules', dependency), project];
    const link = join(place, 'node_modules', dependency);
    if (existsSync(link)) continue;
    await mkdir(dirname(link), { recursive: true });
    await symlink(target, link);
  }
  return folder;
}
