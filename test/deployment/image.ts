/** Does what `docker build` does with our Dockerfile, without a container engine: each stage is a folder. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { copyOf, environmentOf, type Stage, stagesOf } from './dockerfile.js';

const run = promisify(execFile);
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** The user `nobody`, which exists on every machine. */
const nobody = 65_534;
const isRoot = process.getuid?.() === 0;

/**
 * Runs a command as a user without privileges. A change of the user clears the parent death signal, so it is set again.
 */
const unprivileged: readonly string[] = isRoot
  ? ['setpriv', '--reuid', String(nobody), '--regid', String(nobody), '--clear-groups', '--pdeathsig', 'KILL', '--']
  : [];

/** A sentence that explains why the image cannot run here; null if it can. */
export function whatIsMissing(): string | null {
  const [node = '', ...args] = [...unprivileged, process.execPath, '--version'];
  return spawnSync(node, args).status === 0 ? null : 'A user without privileges cannot start node here.';
}

/**
 * Whether `.dockerignore` leaves a file in the context: the last pattern that matches the file or one of its folders
 * decides.
 */
export function isInContext(file: string, patterns: readonly string[]): boolean {
  const parts = file.split('/');
  const paths = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
  let isIn = true;
  for (const line of patterns) {
    const pattern = line.replace(/^!/, '');
    const source = pattern
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replace(/\*\*\/|\*/g, (stars) => (stars === '*' ? '[^/]*' : '(?:.*/)?'));
    if (paths.some((path) => new RegExp(`^${source}$`).test(path))) isIn = line.startsWith('!');
  }
  return isIn;
}

/** A built image: the files of its last stage, read-only. */
export class Image implements AsyncDisposable {
  readonly stage: Stage;
  /** The working directory of the last stage. */
  readonly folder: string;
  readonly #whole: string;
  /** The root of the last stage's file system. */
  readonly #system: string;

  private constructor(whole: string, stage: Stage, system: string, folder: string) {
    this.#whole = whole;
    this.#system = system;
    this.stage = stage;
    this.folder = folder;
  }

  static async build(dockerfile: string): Promise<Image> {
    const whole = await mkdtemp(join(tmpdir(), 'fanfare-image-'));
    try {
      // `mkdtemp` gives access to its owner only, and the node runs as another user.
      await chmod(whole, 0o755);
      const context = await makeContext(join(whole, 'context'), dockerfile);
      const stages = stagesOf(await readFile(join(root, dockerfile), 'utf8'));
      let image: Image | null = null;
      for (const [index, stage] of stages.entries()) {
        const system = join(whole, stage.name ?? String(index));
        image = new Image(whole, stage, system, await carryOut(stage, system, context, whole));
      }
      if (image === null) throw new Error(`${dockerfile} has no stage.`);
      if (isRoot) await run('chown', ['-R', '0:0', image.#system]);
      await run('chmod', ['-R', 'a-w', image.#system]);
      return image;
    } catch (error) {
      await remove(whole);
      throw error;
    }
  }

  /** The command that Docker would start, with the user of the image: node, or a program that the image adds. */
  command(words: readonly string[]): [string, ...string[]] {
    const [program = '', ...args] = words;
    const path = program === 'node' ? process.execPath : join(this.#system, 'usr/local/bin', program);
    return [...unprivileged, path, ...args] as [string, ...string[]];
  }

  /** The environment of the image, without variables of this process. */
  environment(more: Readonly<Record<string, string>>): Record<string, string> {
    return { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, ...environmentOf(this.stage), ...more };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await remove(this.#whole);
  }
}

async function remove(folder: string): Promise<void> {
  await run('chmod', ['-R', 'u+w', folder]);
  await rm(folder, { recursive: true, force: true });
}

/** All files that git has or would add, except for those in the .dockerignore of the Dockerfile or of the root. */
async function makeContext(folder: string, dockerfile: string): Promise<string> {
  const { stdout } = await run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root });
  const own = join(root, `${dockerfile}.dockerignore`);
  const patterns = (await readFile(existsSync(own) ? own : join(root, '.dockerignore'), 'utf8'))
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  for (const file of stdout.split('\0').filter((name) => name !== '' && isInContext(name, patterns))) {
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await cp(join(root, file), join(folder, file));
  }
  await run('chmod', ['-R', 'a+rX', folder]);
  return folder;
}

/** Runs COPY and RUN, and returns the working directory. */
async function carryOut(stage: Stage, system: string, context: string, whole: string): Promise<string> {
  let folder = system;
  await makeOwn(system);
  for (const instruction of stage.instructions) {
    const words = instruction.getRawArgumentsContent() ?? '';
    switch (instruction.getKeyword()) {
      case 'WORKDIR':
        folder = join(system, words);
        await makeOwn(folder);
        break;
      case 'COPY': {
        const { from, sources, target } = copyOf(instruction);
        for (const source of sources)
          await copy(
            join(from === null ? context : join(whole, from), source),
            target.startsWith('/') ? system : folder,
            target,
          );
        break;
      }
      case 'RUN': {
        const [install, flags = ''] = /npm ci ([^&]*)/.exec(words) ?? [];
        if (install !== undefined) await installPackages(folder, flags.split(/[\s\\]+/).filter(Boolean));
        await run('sh', ['-e', '-c', install === undefined ? words : words.replace(install, 'true ')], { cwd: folder });
        break;
      }
      default: // The other instructions describe the image.
    }
  }
  return folder;
}

/**
 * Takes the packages that `npm ci` installs from `node_modules` of the repository, which `npm ci` has filled: another
 * installation would use half a minute of CPU time. Packages that the image ships are copied; a build stage gets links
 * to all of them.
 */
async function installPackages(folder: string, flags: readonly string[]): Promise<void> {
  const isShipped = flags.includes('--omit=dev');
  for (const path of isShipped ? await packagesOf(flags) : await allPackages(flags)) {
    const [source, target] = [join(root, path), join(folder, path)];
    await mkdir(dirname(target), { recursive: true });
    // Workspaces are relative links, so they point into `folder`.
    if (isShipped || path.endsWith('/@fanfare')) await run('cp', ['-R', '--no-dereference', source, target]);
    else await symlink(source, target);
  }
}

/** Paths of the packages that `npm ci` installs with these flags, without those that another package contains. */
async function packagesOf(flags: readonly string[]): Promise<string[]> {
  const { stdout } = await run('npm', ['ls', '--all', '--parseable', ...flags], { cwd: root, maxBuffer: 16_777_216 });
  const paths = stdout.split('\n').map((path) => path.slice(root.length));
  return paths.filter((path) => path.split('node_modules/').length === 2);
}

async function allPackages(flags: readonly string[]): Promise<string[]> {
  const ofWorkspaces = flags.map((word) => join(word, 'node_modules')).filter((path) => existsSync(join(root, path)));
  return [...(await readdir(join(root, 'node_modules'))).map((name) => join('node_modules', name)), ...ofWorkspaces];
}

/**
 * Copies as Docker does. Of a folder it copies the content. A target that ends in `/` is a folder; any other target is
 * the new name.
 */
async function copy(source: string, folder: string, target: string): Promise<void> {
  const path = target.endsWith('/') ? `${join(folder, target)}/` : join(folder, target);
  const isFolder = spawnSync('test', ['-d', source]).status === 0;
  await makeOwn(isFolder || path.endsWith('/') ? path : dirname(path));
  await run('cp', ['-R', '--no-dereference', isFolder ? `${source}/.` : source, path]);
  if (isRoot) await run('chown', ['-R', '--no-dereference', `${nobody}:${nobody}`, path]);
}

async function makeOwn(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  if (isRoot) await chown(folder, nobody, nobody);
}
