/**
 * A folder of files like a Secret mounted by kubelet: links to files behind one link, which is replaced when the Secret
 * changes.
 */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class MountedFolder implements Disposable {
  readonly #path = mkdtempSync(join(tmpdir(), 'fanfare-mount-'));
  #updates = 0;

  constructor(files: Readonly<Record<string, string>>) {
    this.update(files);
    for (const name of Object.keys(files)) symlinkSync(join('..data', name), this.file(name));
  }

  /** The path of the file with this name. */
  file(name: string): string {
    return join(this.#path, name);
  }

  /** Writes all files at once. Files that are not named are removed. */
  update(files: Readonly<Record<string, string>>): void {
    const version = `..${++this.#updates}`;
    mkdirSync(join(this.#path, version));
    for (const [name, content] of Object.entries(files)) writeFileSync(join(this.#path, version, name), content);
    symlinkSync(version, join(this.#path, '..data_tmp'));
    renameSync(join(this.#path, '..data_tmp'), join(this.#path, '..data'));
  }

  [Symbol.dispose](): void {
    rmSync(this.#path, { recursive: true });
  }
}
