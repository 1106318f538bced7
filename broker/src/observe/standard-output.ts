/**
 * Standard output for the lines of the log: never waits for its reader, holds a bounded number of bytes, and goes on if the reader is gone.
 * pino's own destination (sonic-boom 4.2) never ends a process whose reader is gone, and holds without bound what a reader does not take.
 */
import { write, writeSync } from 'node:fs';

const fileDescriptor = 1;

/** Bytes of lines that may wait for the reader. Further lines are dropped and counted, as are those that cannot be written. */
const maxWaitingBytes = 1_048_576;

/** Pause before the next attempt if the reader takes no more, in milliseconds. */
const retryMs = 50;

/** How long the end of the process may wait for the reader, in milliseconds. */
const endMs = 1_000;

const nothing = Buffer.alloc(0);

export class StandardOutput {
  readonly #onDropped: (lines: number) => void;
  #lines: Buffer[] = [];
  /** The lines that are written next, or now. */
  #piece: Buffer = nothing;
  #bytes = 0;
  /** `paused`: the reader takes no more. */
  #state: 'idle' | 'writing' | 'paused' = 'idle';
  #dropped = 0;

  /** `onDropped`: lines are written again, after that many were dropped. */
  constructor(onDropped: (lines: number) => void) {
    this.#onDropped = onDropped;
    // This getter makes a pipe non-blocking. If it blocked, one write to a reader that stands still would keep the process from ending.
    void process.stdout;
    process.on('exit', () => this.#end());
  }

  write(text: string): void {
    const line = Buffer.from(text);
    if (this.#bytes + line.length > maxWaitingBytes) {
      this.#dropped++;
      return;
    }
    this.#lines.push(line);
    this.#bytes += line.length;
    if (this.#state === 'idle') this.#writeNext();
  }

  #writeNext(): void {
    if (this.#piece.length === 0) {
      this.#piece = Buffer.concat(this.#lines);
      this.#lines = [];
    }
    if (this.#piece.length === 0) {
      this.#state = 'idle';
      return;
    }
    this.#state = 'writing';
    write(fileDescriptor, this.#piece, (error, written) => {
      if (error?.code === 'EAGAIN') {
        this.#state = 'paused';
        setTimeout(() => this.#writeNext(), retryMs).unref();
        return;
      }
      // The reader is gone (EPIPE), the terminal is closed (EIO), the disk is full (ENOSPC): the next lines are tried again.
      if (error !== null) this.#dropped += linesIn(this.#piece);
      const done = error === null ? written : this.#piece.length;
      this.#piece = this.#piece.subarray(done);
      this.#bytes -= done;
      // Not after an error: the report itself would be lost and reported, without end.
      if (error === null && this.#bytes === 0) this.#reportDropped();
      this.#writeNext();
    });
  }

  #reportDropped(): void {
    const lines = this.#dropped;
    this.#dropped = 0;
    if (lines > 0) this.#onDropped(lines);
  }

  /** The process ends: writes what waits, as far as the reader takes it in time. What is being written ends by itself. */
  #end(): void {
    const deadline = performance.now() + endMs;
    let rest = Buffer.concat(this.#state === 'writing' ? this.#lines : [this.#piece, ...this.#lines]);
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(fileDescriptor, rest));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || performance.now() > deadline) return;
        // Sleeps: there are no timers any more.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryMs);
      }
    }
  }
}

function linesIn(text: Buffer): number {
  let lines = 0;
  for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', end + 1)) lines++;
  return lines;
}
