/** Projects as app teams have them: real tools at pinned versions, and the packages of this repository as tarballs. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Child } from '@fanfare/local-cluster';
import {
  cleanEnvironment,
  cloneRepository,
  run,
  tarballsOf,
  temporaryFolder,
} from '../../../test/packages/tarballs.js';

const settings = { FORCE_COLOR: undefined, NO_COLOR: '1', NEXT_TELEMETRY_DISABLED: '1' };

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
    await using clone = await temporaryFolder();
    await cloneRepository(clone.path);
    await run(clone.path, ['npm', 'run', 'packages']);
    const tarballs = await tarballsOf(clone.path);
    const ours = ['@fanfare/client', '@fanfare/react'].map((name) => [name, `file:${tarballs.get(name)}`]);
    await project.write(
      'package.json',
      JSON.stringify({ private: true, type: 'module', dependencies: { ...packages, ...Object.fromEntries(ours) } }),
    );
    for (const [path, text] of Object.entries(files)) await project.write(path, text);
    await run(project.folder, ['npm', 'install', '--no-audit', '--no-fund', '--ignore-scripts'], settings);
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
  async run(command: string, ...args: readonly string[]): Promise<string> {
    return (await run(this.folder, this.#program(command, args), settings)).stdout;
  }

  /** Starts a server, and waits until it prints its URL. */
  async serve(command: string, ...args: readonly string[]): Promise<Server> {
    const env = { ...cleanEnvironment(), ...settings };
    const child = new Child({ command: this.#program(command, args), cwd: this.folder, env });
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
