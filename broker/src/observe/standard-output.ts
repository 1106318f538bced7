/**
 * Standard output for log lines. It never waits for its reader, buffers a limited number of bytes, and continues if the
 * reader is gone. The destination of pino (sonic-boom 4.2) keeps a process without a reader from exiting, and buffers
 * without limit.
 */
import { write, writeSync } from 'node:fs';

const fileDescriptor = 1;

/** Maximum number of buffered bytes. Beyond it, lines are dropped and counted, as are lines that cannot be written. */
const maxWaitingBytes = 1_048_576;

/** Pause before the next attempt if the reader is slow, in milliseconds. */
const retryMs = 50;

/** How long an exiting process may wait for the reader, in milliseconds. */
const endMs = 1_000;

const nothing = Buffer.alloc(0);

export class StandardOutput {
  #lines: Buffer[] = [];
  /** The bytes that are being written, or are written next. */
  #piece: Buffer = nothing;
  #bytes = 0;
  /** `paused`: the reader is slow. */
  #state: 'idle' | 'writing' | 'paused' = 'idle';
  #dropped = 0;

  /** `onDropped`: called with the number of dropped lines when lines are written again. */
  constructor(private readonly onDropped: (lines: number) => void) {
    // This getter makes a pipe non-blocking. Otherwise one write to a stuck reader would keep the process from exiting.
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
      // The reader is gone (EPIPE), the terminal is closed (EIO), the disk is full (ENOSPC): the next lines are tried
      // again.
      if (error !== null) this.#dropped += linesIn(this.#piece);
      const done = error === null ? written : this.#piece.length;
      this.#piece = this.#piece.subarray(done);
      this.#bytes -= done;
      // Not after an error: the report itself would be lost and reported again, without end.
      if (error === null && this.#bytes === 0) this.#reportDropped();
      this.#writeNext();
    });
  }

  #reportDropped(): void {
    const lines = this.#dropped;
    this.#dropped = 0;
    if (lines > 0) this.onDropped(lines);
  }

  /**
   * The process exits: writes the buffered lines if the reader takes them in time. A write that is under way completes
   * by itself.
   */
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
