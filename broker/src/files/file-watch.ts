/** Watches files for changes. */
import { type Stats, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';

/** How often the files are checked, in milliseconds. */
const watchIntervalMs = 1_000;

/** Polls, because file events of the system do not follow the symbolic links that Kubernetes and certbot replace. */
export class FileWatch {
  readonly #timer: NodeJS.Timeout;
  /** State of the files at the last call of `onChange`. */
  #reported: string;
  #seen: string;
  #isChecking = false;

  /** Reports every change from now on. Read the files afterwards to miss none. */
  constructor(
    private readonly files: readonly string[],
    private readonly onChange: () => void,
  ) {
    this.#reported = this.#seen = files.map(stampNow).join(' ');
    this.#timer = setInterval(() => void this.#check(), watchIntervalMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #check(): Promise<void> {
    if (this.#isChecking) return;
    this.#isChecking = true;
    const seen = (await Promise.all(this.files.map(stampOf))).join(' ');
    this.#isChecking = false;
    const hasSettled = seen === this.#seen;
    this.#seen = seen;
    // Several files are seldom written at the same time: wait until two checks in a row find the same state.
    if (!hasSettled || seen === this.#reported) return;
    this.#reported = seen;
    this.onChange();
  }
}

const absent = 'absent';

/** Changes with each change of the file, and if a symbolic link on its path is replaced. */
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
