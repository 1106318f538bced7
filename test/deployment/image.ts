/** What `docker build` does with our Dockerfile, done without a container engine: folders for stages, as a user without rights. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { copyOf, environmentOf, type Stage, stagesOf } from './dockerfile.js';

const run = promisify(execFile);
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Of the user `nobody`, who is on every machine. */
const nobody = 65_534;
const isRoot = process.getuid?.() === 0;

/** Makes a command one of a user without rights. The signal on the end of the parent is lost where the user changes: it is asked for anew. */
export const unprivileged: readonly string[] = isRoot
  ? ['setpriv', '--reuid', String(nobody), '--regid', String(nobody), '--clear-groups', '--pdeathsig', 'KILL', '--']
  : [];

const registry = spawnSync('npm', ['config', 'get', 'registry'], { cwd: root, encoding: 'utf8' }).stdout.trim();

/** What is missing here to build the image, in a sentence; null: nothing. */
export function whatIsMissing(): string | null {
  const [node = '', ...args] = [...unprivileged, process.execPath, '--version'];
  if (spawnSync(node, args).status !== 0) return 'A user without rights cannot start node here.';
  const asked = spawnSync('npm', ['view', 'uwebsockets', 'name'], { cwd: root });
  return asked.status === 0 ? null : 'npm has no registry here.';
}

/** Whether `.dockerignore` leaves a file in the context: the last pattern that matches it, or a folder that it is in, decides. */
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

  private constructor(whole: string, stage: Stage, folder: string) {
    this.#whole = whole;
    this.stage = stage;
    this.folder = folder;
  }

  static async build(dockerfile: string): Promise<Image> {
    const whole = await mkdtemp(join(tmpdir(), 'fanfare-image-'));
    try {
      // Whoever builds must reach it, and `mkdtemp` lets in its owner only.
      await chmod(whole, 0o755);
      const context = await makeContext(join(whole, 'context'), dockerfile);
      const stages = stagesOf(await readFile(join(root, dockerfile), 'utf8'));
      let image: Image | null = null;
      for (const [index, stage] of stages.entries()) {
        const folder = await carryOut(stage, join(whole, stage.name ?? String(index)), context, whole);
        image = new Image(whole, stage, folder);
      }
      if (image === null) throw new Error(`${dockerfile} has no stage.`);
      if (isRoot) await run('chown', ['-R', '0:0', image.folder]);
      await run('chmod', ['-R', 'a-w', image.folder]);
      return image;
    } catch (error) {
      await remove(whole);
      throw error;
    }
  }

  /** A command of the image, as its user: what Docker would start. */
  command(words: readonly string[]): [string, ...string[]] {
    const [program = '', ...args] = words;
    return [...unprivileged, program === 'node' ? process.execPath : program, ...args] as [string, ...string[]];
  }

  /** The environment of the image, and nothing of ours. */
  environment(more: Readonly<Record<string, string>>): Record<string, string> {
    return { ...environmentOf(this.stage), ...more };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await remove(this.#whole);
  }
}

async function remove(folder: string): Promise<void> {
  await run('chmod', ['-R', 'u+w', folder]);
  await rm(folder, { recursive: true, force: true });
}

/** Everything that git has or would take, except for what the Dockerfile's own .dockerignore names, or that of the root. */
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

/** Carries out COPY and RUN, and answers the working directory. */
async function carryOut(stage: Stage, system: string, context: string, whole: string): Promise<string> {
  let folder = system;
  const home = join(whole, 'home');
  for (const path of [system, home]) await makeOwn(path);
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
          await copy(join(from === null ? context : join(whole, from), source), folder, target);
        break;
      }
      case 'RUN': {
        const [program = '', ...args] = [...unprivileged, 'sh', '-e', '-c', words];
        await run(program, args, {
          cwd: folder,
          maxBuffer: 16_777_216,
          env: { ...process.env, HOME: home, npm_config_cache: join(home, 'npm'), npm_config_registry: registry },
        });
        break;
      }
      default: // What the others say goes into the image's description.
    }
  }
  return folder;
}

/** As Docker does: the content of a folder; a file into a target that ends in `/`, else under that name. */
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
