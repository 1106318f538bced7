/** Notices that a file has changed. */
import { stat } from 'node:fs/promises';

/** How often the files are looked at, in milliseconds. */
const watchIntervalMs = 1_000;

/** Polls, because the system's events do not follow the links that Kubernetes and certbot replace. */
export class FileWatch {
  readonly #files: readonly string[];
  readonly #onChange: () => void;
  readonly #timer: NodeJS.Timeout;
  /** State of the files at the last call of `onChange`; null until the first look. */
  #reported: string | null = null;
  #seen: string | null = null;
  #isLooking = false;

  constructor(files: readonly string[], onChange: () => void) {
    this.#files = files;
    this.#onChange = onChange;
    this.#timer = setInterval(() => void this.#look(), watchIntervalMs).unref();
    void this.#look();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const seen = (await Promise.all(this.#files.map(stampOf))).join(' ');
    this.#isLooking = false;
    const hasSettled = seen === this.#seen;
    this.#seen = seen;
    this.#reported ??= seen;
    // Several files are seldom written at once: they are read when two looks in a row have found the same.
    if (!hasSettled || seen === this.#reported) return;
    this.#reported = seen;
    this.#onChange();
  }
}

/** Differs after each change of the file, also if a link on the way to it was replaced. */
async function stampOf(file: string): Promise<string> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(file);
    return `${ino}:${size}:${mtimeMs}:${ctimeMs}`;
  } catch {
    return 'absent';
  }
}
