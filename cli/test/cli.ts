/** Runs the built command as a process, as a user or a script does. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface Options {
  /** What standard input contains; it ends after that. */
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** The environment without settings of this machine. */
function environment(env: Options['env'] = {}): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(?:FANFARE_|VITEST|NODE_ENV$|NO_COLOR$)/.test(name));
  return { ...Object.fromEntries(own), ...env };
}

/** A command that runs. */
class Running implements AsyncDisposable {
  readonly exited: Promise<number | null>;
  out = '';
  err = '';

  constructor(readonly child: ChildProcessWithoutNullStreams) {
    child.stdout.setEncoding('utf8').on('data', (text) => {
      this.out += text;
      child.emit('output');
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.err += text;
      child.emit('output');
    });
    this.exited = once(child, 'close').then(([code]) => {
      child.emit('output');
      return code as number | null;
    });
  }

  /** Resolves when the condition is true; rejects if the command ends first. */
  async until(what: string, condition: (running: this) => boolean): Promise<void> {
    let hasEnded = false;
    void this.exited.then(() => {
      hasEnded = true;
    });
    while (!condition(this)) {
      if (hasEnded) throw new Error(`The command ended before: ${what}\n${this.out}\n${this.err}`);
      await once(this.child, 'output');
    }
  }

  get lines(): readonly string[] {
    return this.out.split('\n').slice(0, -1);
  }

  async end(): Promise<Ended> {
    const code = await this.exited;
    return { code, out: this.out, err: this.err };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

export function start(args: readonly string[], { env, input }: Options = {}): Running {
  const child = spawn(process.execPath, [main, ...args], { env: environment(env) });
  // The command may end without reading.
  child.stdin.on('error', () => undefined);
  if (input !== undefined) child.stdin.end(input);
  return new Running(child);
}

/** Runs the command until it ends. */
export function run(args: readonly string[], options: Options = {}): Promise<Ended> {
  return start(args, { input: '', ...options }).end();
}

/** Runs a line of a shell, in which `fanfare` is the command. */
export function shell(line: string, env: Options['env'] = {}): Running {
  const head = `fanfare() { '${process.execPath}' '${main}' "$@"; }; `;
  return new Running(spawn('bash', ['-c', head + line], { env: environment(env) }));
}

/** Runs the command at a terminal of 80 columns; its two outputs are one. */
export function atTerminal(args: readonly string[], env: Options['env'] = {}): Running {
  const command = [process.execPath, main, ...args].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qec', `stty cols 80; exec ${command}`, '/dev/null'], {
    env: environment({ TERM: 'xterm', ...env }),
  });
  return new Running(child);
}
