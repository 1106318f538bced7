/** Reads FANFARE_AUTH again if one of its files has changed. */
import { isDeepStrictEqual } from 'node:util';
import { FileWatch } from '../files/file-watch.js';
import type { Log } from '../observe/log.js';
import type { AuthConfig, AuthSetting } from './auth-config.js';

export class AuthWatch {
  readonly #setting: AuthSetting;
  readonly #log: Log;
  readonly #onRead: (auth: AuthConfig) => void;
  #files: readonly string[];
  #watch: FileWatch;
  #isRefused = false;

  /** `onRead`: gets what the files hold, at once and after each change, if nothing is wrong with it. */
  constructor(setting: AuthSetting, log: Log, onRead: (auth: AuthConfig) => void) {
    this.#setting = setting;
    this.#log = log;
    this.#onRead = onRead;
    this.#files = setting.files;
    this.#watch = this.#begin();
    // The files may have changed between their first reading and this moment.
    this.#read(true);
  }

  /** Whether the files hold something that cannot be used, so that what they held before still counts. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  close(): void {
    this.#watch.close();
  }

  #begin(): FileWatch {
    return new FileWatch(this.#files, () => this.#read());
  }

  #read(isFirst = false): void {
    const wrong: string[] = [];
    const auth = this.#setting.reread((sentence) => wrong.push(sentence));
    if (auth !== null && !isDeepStrictEqual(auth.files, this.#files)) {
      // Other files hold the keys now. They may have changed since they were read, so they are read again once they are watched.
      this.#watch.close();
      this.#files = auth.files;
      this.#watch = this.#begin();
      return this.#read(isFirst);
    }
    this.#isRefused = auth === null || wrong.length > 0;
    if (auth === null || wrong.length > 0) return this.#refuse(wrong);
    this.#onRead(auth);
    if (isFirst) return;
    const { issuers, apiKeys } = auth;
    this.#log.info(
      { event: 'authReread', issuers: issuers.length, apiKeys: apiKeys.length },
      'Reloaded FANFARE_AUTH because one of its files has changed. Closing connections whose key was removed.',
    );
  }

  #refuse([first, ...others]: readonly string[]): void {
    const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
    this.#log.error(
      { event: 'authRefused' },
      `A file of FANFARE_AUTH has changed but is unusable, so the node keeps the previous configuration. FANFARE_AUTH ${first}${more}`,
    );
  }
}
