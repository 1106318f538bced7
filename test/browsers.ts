/** Chromium and Firefox behind one interface. */
import { hasBrowser, launchBrowser } from './chromium.js';
import { type Browser, hasFirefox, launchFirefox } from './firefox.js';

async function launchChromium(): Promise<Browser> {
  const browser = await launchBrowser({ backForwardCache: true });
  return {
    async open() {
      const page = await browser.newPage();
      return {
        goto: async (url) => void (await page.goto(url)),
        // A page from the cache does not run its script again.
        goBack: async () => void (await page.goBack({ waitUntil: 'commit' })),
        evaluate: (expression) => page.evaluate(expression),
        [Symbol.asyncDispose]: () => page.close(),
      };
    },
    [Symbol.asyncDispose]: () => browser.close(),
  };
}

/** Name, whether it is installed, and how to start it. */
export const browsers = [
  ['Chromium', hasBrowser, launchChromium],
  ['Firefox', hasFirefox, launchFirefox],
] as const;
