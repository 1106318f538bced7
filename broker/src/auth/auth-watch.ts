/** Reads FANFARE_AUTH again when one of its files has changed. */
import { isDeepStrictEqual } from 'node:util';
import { FileWatch } from '../files/file-watch.js';
import type { Log } from '../observe/log.js';
import type { AuthConfig, AuthSetting } from './auth-config.js';

export class AuthWatch {
  #files: readonly string[];
  #watch: FileWatch;
  #isRefused = false;

  /** `onRead`: called with the configuration, now and after each change, if it is valid. */
  constructor(
    private readonly setting: AuthSetting,
    private readonly log: Log,
    private readonly onRead: (auth: AuthConfig) => void,
  ) {
    this.#files = setting.files;
    this.#watch = this.#startWatch();
    // The files may have changed since they were read at the start.
    this.#read(true);
  }

  /** Whether the files are unusable, so that the previous configuration is still in use. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  close(): void {
    this.#watch.close();
  }

  #startWatch(): FileWatch {
    return new FileWatch(this.#files, () => this.#read());
  }

  #read(isFirst = false): void {
    const mistakes: string[] = [];
    const auth = this.setting.reread((mistake) => mistakes.push(mistake));
    if (auth !== null && !isDeepStrictEqual(auth.files, this.#files)) {
      // The keys are in other files now. These may have changed since they were read, so they are read again after the
      // watch begins.
      this.#watch.close();
      this.#files = auth.files;
      this.#watch = this.#startWatch();
      return this.#read(isFirst);
    }
    this.#isRefused = auth === null || mistakes.length > 0;
    if (auth === null || mistakes.length > 0) return this.#refuse(mistakes);
    this.onRead(auth);
    if (isFirst) return;
    const { issuers, apiKeys } = auth;
    this.log.info(
      { event: 'authReread', issuers: issuers.length, apiKeys: apiKeys.length },
      'Reloaded FANFARE_AUTH because one of its files has changed. Closing connections whose key was removed.',
    );
  }

  #refuse([first, ...others]: readonly string[]): void {
    const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
    this.log.error(
      { event: 'authRefused' },
      `A file of FANFARE_AUTH has changed but is unusable, so the node keeps the previous configuration. FANFARE_AUTH ${first}${more}`,
    );
  }
}
