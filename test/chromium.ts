/** Chromium without a window, if this machine has it; .ci/run installs one. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const executablePath = (process.env['PATH'] ?? '')
  .split(delimiter)
  .flatMap((folder) => ['chromium', 'google-chrome', 'chrome'].map((name) => join(folder, name)))
  .find((path) => existsSync(path));

export const hasBrowser = executablePath !== undefined;

/** Without requests of its own: in a network without internet access, each of them would fail. */
export function launchBrowser({ backForwardCache = false } = {}): Promise<Browser> {
  return chromium.launch({
    // Playwright switches it off.
    ignoreDefaultArgs: backForwardCache ? ['--disable-back-forward-cache'] : [],
    ...(executablePath === undefined ? {} : { executablePath }),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
