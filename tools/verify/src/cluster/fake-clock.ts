/** A wall clock for redis-server that a fault can move (fake-clock.c). Needs a C compiler, `cc`. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The source is in src, also if this runs from dist. */
const source = fileURLToPath(new URL('../../src/cluster/fake-clock.c', import.meta.url));

/** Whether this machine can have one. */
export function hasCompiler(): boolean {
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export class FakeClock implements AsyncDisposable {
  /** Environment variables for redis-server. */
  readonly env: Readonly<Record<string, string>>;
  readonly #folder: string;
  readonly #file: string;

  /** `aheadSeconds`: by how much it is ahead of the clock of this machine. */
  constructor(aheadSeconds: number) {
    if (!hasCompiler()) throw new Error('A fake clock needs a C compiler: install gcc, which brings `cc`.');
    this.#folder = mkdtempSync(join(tmpdir(), 'fanfare-clock-'));
    this.#file = join(this.#folder, 'seconds');
    const library = join(this.#folder, 'fake-clock.so');
    execFileSync('cc', ['-shared', '-fPIC', '-O2', '-o', library, source]);
    writeFileSync(this.#file, Buffer.alloc(8));
    this.set(aheadSeconds);
    this.env = { LD_PRELOAD: library, FAKE_CLOCK_FILE: this.#file };
  }

  /** Takes effect at once. */
  set(aheadSeconds: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(aheadSeconds));
    // Written in place: Redis has the file mapped.
    const file = openSync(this.#file, 'r+');
    writeSync(file, bytes, 0, bytes.length, 0);
    closeSync(file);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
