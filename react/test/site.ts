/** Pages with React in a real browser: a program becomes a page, and its commands to the node are recorded. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { build } from 'esbuild';
import type { Browser, Page } from 'playwright-core';

/** Bundles a program (TSX) with React's development build, which has StrictMode and its warnings. */
async function bundle(program: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: program, loader: 'tsx', resolveDir: import.meta.dirname },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    jsx: 'automatic',
    conditions: ['source', 'development'],
    define: { 'process.env.NODE_ENV': '"development"' },
    logLevel: 'silent',
  });
  return outputFiles[0]?.text ?? '';
}

export interface Tab extends AsyncDisposable {
  readonly page: Page;
  /** Errors and warnings in the console, and uncaught errors. */
  readonly problems: readonly string[];
  /** How many commands of this type the page has sent. Its client must speak JSON. */
  sent(type: 'subscribe' | 'unsubscribe' | 'connect'): number;
  /** The visible text of the page. */
  text(): Promise<string>;
}

/** Records what a page sends to nodes, and its problems. Call it before the page is loaded. */
export function watch(page: Page): Pick<Tab, 'sent' | 'problems'> {
  const frames: string[] = [];
  const problems: string[] = [];
  page.on('websocket', (socket) => {
    socket.on('framesent', ({ payload }) => frames.push(String(payload)));
  });
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(error.message));
  const sent = (type: string): number => frames.join().split(`"type":"${type}"`).length - 1;
  return { sent, problems };
}

/**
 * Opens a page that runs the program. `html` is what a server would have rendered into `#root`. `replaced`: texts to
 * replace in the program.
 */
export async function open(
  browser: Browser,
  program: string,
  html = '',
  replaced: Readonly<Record<string, string>> = {},
): Promise<Tab> {
  let script = await bundle(program);
  for (const [text, replacement] of Object.entries(replaced)) script = script.replaceAll(text, replacement);
  const server = createServer((request, response) => {
    const isPage = request.url === '/';
    response.setHeader('Content-Type', isPage ? 'text/html; charset=utf-8' : 'text/javascript');
    if (isPage) {
      const icon = '<link rel="icon" href="data:,">';
      return response.end(
        `<!doctype html><title>Page</title>${icon}<div id="root">${html}</div><script type="module" src="/app.js"></script>`,
      );
    }
    return response.end(script);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const page = await browser.newPage();
  const records = watch(page);
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  return {
    ...records,
    page,
    text: () => page.locator('body').innerText(),
    async [Symbol.asyncDispose]() {
      await page.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
