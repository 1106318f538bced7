/** Projects as app teams have them: real tools at pinned versions, and the packages of this repository as tarballs. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Child } from '@fanfare/local-cluster';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Without what `npm run` and vitest set for this repository. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(npm_(?!config_registry)|NODE_ENV$|FORCE_COLOR$|VITEST|FANFARE_)/.test(name),
  );
  return { ...Object.fromEntries(kept), NO_COLOR: '1', NEXT_TELEMETRY_DISABLED: '1' };
}

async function run(cwd: string, command: readonly string[]): Promise<string> {
  const [file = '', ...args] = command;
  const options = { cwd, env: environment(), maxBuffer: 100_000_000 };
  try {
    return (await promisify(execFile)(file, args, options)).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { readonly stdout: string; readonly stderr: string };
    throw new Error(`${command.join(' ')} failed.\n${stdout}\n${stderr}`, { cause: error });
  }
}

interface Server extends AsyncDisposable {
  readonly url: string;
}

export class Project implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Creates a folder with these files, and installs the tarballs and these packages. */
  static async create(packages: Readonly<Record<string, string>>, files: Readonly<Record<string, string>>) {
    const project = new Project(await mkdtemp(join(tmpdir(), 'fanfare-react-')));
    const workspaces = ['protocol', 'client', 'react'].flatMap((name) => ['--workspace', name]);
    const packed = await run(root, ['npm', 'pack', '--json', '--pack-destination', project.folder, ...workspaces]);
    // Build scripts may print before the JSON.
    const tarballs: { name: string; filename: string }[] = JSON.parse(packed.slice(packed.search(/^\[/m)));
    const ours = tarballs.map(({ name, filename }) => [name, `file:${filename.replace('@fanfare/', 'fanfare-')}`]);
    await project.write(
      'package.json',
      JSON.stringify({ private: true, type: 'module', dependencies: { ...packages, ...Object.fromEntries(ours) } }),
    );
    for (const [path, text] of Object.entries(files)) await project.write(path, text);
    await run(project.folder, ['npm', 'install', '--no-audit', '--no-fund', '--ignore-scripts']);
    return project;
  }

  async write(path: string, text: string): Promise<void> {
    const file = join(this.folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }

  /** Replaces a text in a file, as a developer who edits and saves. */
  async edit(path: string, text: string, replacement: string): Promise<void> {
    const before = await readFile(join(this.folder, path), 'utf8');
    if (!before.includes(text)) throw new Error(`${path} does not contain ${text}.`);
    await this.write(path, before.replace(text, replacement));
  }

  /** Runs a command of an installed package. */
  run(command: string, ...args: readonly string[]): Promise<string> {
    return run(this.folder, this.#program(command, args));
  }

  /** Starts a server, and waits until it prints its URL. */
  async serve(command: string, ...args: readonly string[]): Promise<Server> {
    const child = new Child({ command: this.#program(command, args), cwd: this.folder, env: environment() });
    const url = await child.find(
      (line) => /https?:\/\/(?:localhost|127\.0\.0\.1):\d+/.exec(line)?.[0] ?? null,
      AbortSignal.timeout(120_000),
    );
    if (url === null) throw new Error(child.explain(`${command} printed no URL.`));
    return {
      url,
      async [Symbol.asyncDispose]() {
        await child.stop();
      },
    };
  }

  /** Without npx: it would be one more process, which does not pass signals on. */
  #program(command: string, args: readonly string[]): [string, ...string[]] {
    return [process.execPath, join(this.folder, 'node_modules/.bin', command), ...args];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
