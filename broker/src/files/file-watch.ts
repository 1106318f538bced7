/** Notices that a file has changed. */
import { type Stats, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';

/** How often the files are looked at, in milliseconds. */
const watchIntervalMs = 1_000;

/** Polls, because the system's events do not follow the links that Kubernetes and certbot replace. */
export class FileWatch {
  readonly #files: readonly string[];
  readonly #onChange: () => void;
  readonly #timer: NodeJS.Timeout;
  /** State of the files at the last call of `onChange`. */
  #reported: string;
  #seen: string;
  #isLooking = false;

  /** Notices each change from now on: whoever reads the files after this misses none. */
  constructor(files: readonly string[], onChange: () => void) {
    this.#files = files;
    this.#onChange = onChange;
    this.#reported = this.#seen = files.map(stampNow).join(' ');
    this.#timer = setInterval(() => void this.#look(), watchIntervalMs).unref();
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
    // Several files are seldom written at once: they are read when two looks in a row have found the same.
    if (!hasSettled || seen === this.#reported) return;
    this.#reported = seen;
    this.#onChange();
  }
}

const absent = 'absent';

/** Differs after each change of the file, also if a link on the way to it was replaced. */
function stampOf(file: string): Promise<string> {
  return stat(file).then(textOf, () => absent);
}

function stampNow(file: string): string {
  try {
    return textOf(statSync(file));
  } catch {
    return absent;
  }
}

function textOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${ino}:${size}:${mtimeMs}:${ctimeMs}`;
}
