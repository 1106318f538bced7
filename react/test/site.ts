/** Pages with React in a real browser. Their commands to the node are recorded. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { build, transform } from 'esbuild';
import type { Browser, Page } from 'playwright-core';

/** What the programs of tests use. */
const packages = `
  export { act, Activity, Component, createElement, Fragment, StrictMode, Suspense, use, useEffect, useState } from 'react';
  export { flushSync } from 'react-dom';
  export { createRoot, hydrateRoot } from 'react-dom/client';
  export { createClient } from '@fanfare/client/json';
  export * as fallback from '@fanfare/client/fallback';
  export { createHooks } from '@fanfare/react';
  export { flush } from '@fanfare/react/testing';
`;

/** The bundle of {@link packages}, for all pages of a process. */
let shared: Promise<string> | undefined;

/** Bundles a program (TSX) with React's development build, which has StrictMode and its warnings. */
export async function bundle(program: string): Promise<string> {
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

/** Compiles a program (JSX) that has all of {@link packages} as global names. */
export async function compile(program: string): Promise<string> {
  const names = [...packages.matchAll(/\{ (.*) \}/g)].map(([, list]) => list).join();
  const { code } = await transform(program, { loader: 'jsx', jsxFactory: 'createElement', jsxFragment: 'Fragment' });
  return `import { ${names} } from '/packages.js';\n${code}`;
}

export interface Tab extends AsyncDisposable {
  readonly page: Page;
  /** Errors and warnings in the console, and uncaught errors. */
  readonly problems: readonly string[];
  /** How many commands of this type the page has sent. Its client must speak JSON. */
  sent(type: 'subscribe' | 'unsubscribe' | 'connect'): number;
  /** The visible text of the page, with single spaces. */
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

/** Opens a page that runs the script. `html` is what a server would have rendered into `#root`. */
export async function open(browser: Browser, script: string, html = ''): Promise<Tab> {
  const head = '<!doctype html><title>Page</title><link rel="icon" href="data:,">';
  const files: Readonly<Record<string, () => string | Promise<string>>> = {
    '/': () => `${head}<div id="root">${html}</div><script type="module" src="/app.js"></script>`,
    '/app.js': () => script,
    '/packages.js': () => (shared ??= bundle(packages)),
  };
  const server = createServer(async ({ url = '' }, response) => {
    response.setHeader('Content-Type', url === '/' ? 'text/html; charset=utf-8' : 'text/javascript');
    response.end(await files[url]?.());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const page = await browser.newPage();
  const records = watch(page);
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  return {
    ...records,
    page,
    text: async () => (await page.locator('body').innerText()).replace(/\s+/g, ' ').trim(),
    async [Symbol.asyncDispose]() {
      await page.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
