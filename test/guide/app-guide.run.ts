/**
 * Follows docs/app-guide.md from an empty folder, from tarballs, as its reader would: it saves each file, runs each
 * command, and opens each page in Chromium. Only ports differ. Takes some minutes, most of them for installing.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { hasBrowser, launchBrowser } from '../chromium.js';
import { cloneRepository } from '../packages/tarballs.js';
import { readGuide } from './guide.js';

/** The ports of the guide, which may be in use on this machine. */
const ports = new Map<string, number>();

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The text with the ports of this run. */
function here(text: string): string {
  return text.replace(/\b(?:8080|8081|5173|3100|3000)\b/g, (port) => String(ports.get(port)));
}

/** Commands that run until Ctrl+C, and what they print when they are ready. */
const servers: readonly (readonly [command: RegExp, ready: RegExp])[] = [
  [/^(?:cd \S+ && )?(?:FANFARE_\w+=\S+ )*npx fanfare node$/m, /listens on/],
  [/^npx vite --host/m, /Local:/],
  [/^npx next start/m, /Ready/],
  [/^node token-server\.js$/m, /^/],
];

class Reader implements AsyncDisposable {
  /** Where the reader's terminal is. */
  folder: string;
  readonly #running: { readonly command: string; readonly child: ChildProcess }[] = [];

  constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * Does what a section of the guide says. Returns what the commands have printed. `change` may change a step, also by
   * what has been printed so far.
   */
  async follow(title: string, change: (text: string, printed: string) => string = (text) => text): Promise<string> {
    const section = readGuide().find(({ heading }) => heading.endsWith(title));
    if (section === undefined) throw new Error(`The guide has no section ${title}.`);
    let printed = '';
    for (const step of section.steps) {
      const text = here(change(step.text, printed));
      if (step.kind === 'file') {
        await mkdir(dirname(join(this.folder, step.path)), { recursive: true });
        await writeFile(join(this.folder, step.path), text);
      } else {
        const isServer = servers.some(([command]) => command.test(step.text));
        // Only the last command of a block may be a server.
        const lines = text.trim().split('\n');
        const last = isServer ? lines.pop() : undefined;
        if (lines.length > 0) printed += await this.run(lines.join('\n'));
        if (last !== undefined) printed += await this.start(last);
      }
    }
    return printed;
  }

  /** Runs commands to their end, in one terminal. Rejects with their output if one fails. */
  async run(commands: string): Promise<string> {
    const placeFile = join(this.folder, '.place');
    const child = this.#spawn(`set -e\n${commands}\npwd >'${placeFile}'`);
    const output = collect(child);
    const code = await new Promise((resolve) => child.once('close', resolve));
    if (code !== 0) throw new Error(`${commands}\nended with ${code}:\n${output.text}`);
    const place = (await readFile(placeFile, 'utf8')).trim();
    await rm(placeFile);
    this.folder = place;
    return output.text;
  }

  /** Presses Ctrl+C in the terminals with this command. */
  async stop(command: RegExp): Promise<void> {
    for (const [index, running] of [...this.#running.entries()].toReversed()) {
      if (!command.test(running.command)) continue;
      this.#running.splice(index, 1);
      const { child } = running;
      if (child.exitCode !== null || child.pid === undefined) continue;
      const closed = new Promise((resolve) => child.once('close', resolve));
      process.kill(-child.pid, 'SIGINT');
      await closed;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(/^/);
  }

  /** Starts one of {@link servers}, in a terminal of its own. Resolves with its output when it is ready. */
  async start(command: string): Promise<string> {
    const ready = servers.find(([pattern]) => pattern.test(command))?.[1] ?? /^/;
    // The same command again would find its port in use.
    const program = /(?:npx|node) [\w.-]+/.exec(command)?.[0] ?? command;
    await this.stop(new RegExp(program.replaceAll('.', '\\.')));
    const child = this.#spawn(command);
    const output = collect(child);
    this.#running.push({ command, child });
    await expect
      .poll(() => {
        if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}:\n${output.text}`);
        return output.text;
      })
      .toMatch(ready);
    return output.text;
  }

  #spawn(script: string): ChildProcess {
    const env = {
      ...process.env,
      // The settings that a vitest process has would change what the programs do.
      NODE_ENV: undefined,
      VITEST: undefined,
      FORCE_COLOR: undefined,
      NO_COLOR: '1',
      FANFARE_PORT: String(ports.get('8080')),
      FANFARE_ADMIN_PORT: String(ports.get('8081')),
      NEXT_TELEMETRY_DISABLED: '1',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      npm_config_yes: 'true',
    };
    // A process group of its own, as a terminal makes one: Ctrl+C reaches the programs that npx starts.
    return spawn('bash', ['-c', script], { cwd: this.folder, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  }
}

function collect(child: ChildProcess): { text: string } {
  const output = { text: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output.text += text;
    });
  }
  return output;
}

/** The texts of the list items of a page. */
function messages(page: Page): Promise<string[]> {
  return page.locator('li').allInnerTexts();
}

/** Whether the page says that it is connected. */
function statusOf(page: Page): Promise<string> {
  return page.locator('p').first().innerText();
}

/** How many connections the node has accepted. */
async function accepted(): Promise<string | undefined> {
  const metrics = await (await fetch(here('http://127.0.0.1:8081/metrics'))).text();
  return /^fanfare_connections_opened_total .*$/m.exec(metrics)?.[0];
}

async function say(page: Page, text: string): Promise<void> {
  await page.getByPlaceholder('Message').fill(text);
  await page.getByRole('button', { name: 'Send' }).click();
}

let workshop: string;
let reader: Reader;
let browser: Browser;

/** Uncaught errors of all pages. */
const pageErrors: Error[] = [];

async function open(path: string): Promise<Page> {
  const page = await browser.newPage();
  page.on('pageerror', (error) => pageErrors.push(error));
  await page.goto(here(path));
  return page;
}

beforeAll(async () => {
  if (!hasBrowser) throw new Error('This test needs Chromium in the PATH.');
  for (const port of ['8080', '8081', '5173', '3100', '3000']) ports.set(port, await freePort());
  workshop = await mkdtemp(join(tmpdir(), 'fanfare-guide-'));
  // Not this checkout: a test that is interrupted while it packs would leave the published package.json in it.
  await cloneRepository(join(workshop, 'fanfare'));
  reader = new Reader(workshop);
  browser = await launchBrowser();
}, 60_000);

afterAll(async () => {
  await browser?.close();
  await reader?.[Symbol.asyncDispose]();
  await rm(workshop, { recursive: true, force: true });
}, 60_000);

it('the guide leads from an empty folder to a chat of two users', { timeout: 900_000 }, async () => {
  // The clone has the packages of this checkout.
  await reader.follow('Packages and a node', (text) => text.replace('npm ci\n', ''));
  await reader.follow('A chat with React and Vite');
  const alice = await open('http://127.0.0.1:5173/?user=alice');
  const bob = await open('http://127.0.0.1:5173/?user=bob');
  await say(alice, 'hello bob');
  await expect.poll(() => messages(bob)).toEqual(['alice: hello bob']);
  await say(bob, 'hello alice');
  await expect.poll(() => messages(alice)).toEqual(['alice: hello bob', 'bob: hello alice']);
  await bob.reload();
  await expect.poll(() => messages(bob)).toEqual(['alice: hello bob', 'bob: hello alice']);
  // The page changes without a reload, and continues.
  const source = join(reader.folder, 'src/chat.tsx');
  await writeFile(source, (await readFile(source, 'utf8')).replace('Chat as', 'Talk as'));
  await expect.poll(() => alice.locator('h1').innerText()).toBe('Talk as alice');
  expect(await messages(alice)).toHaveLength(2);
  // The node loses its memory. Both pages return to it.
  await reader.stop(/npx fanfare/);
  await expect.poll(() => statusOf(bob)).toBe('Connecting…');
  await say(bob, 'again');
  await bob.getByRole('button', { name: 'Sending…', disabled: true }).waitFor();
  await expect.poll(() => bob.getByRole('alert').allInnerTexts()).toEqual([expect.stringMatching(/^Not sent: /)]);
  expect(await bob.getByPlaceholder('Message').inputValue()).toBe('again');
  await reader.start('npx fanfare node');
  await expect.poll(() => statusOf(bob)).toBe('Connected');
  await bob.getByRole('button', { name: 'Send' }).click();
  await expect.poll(() => messages(alice)).toEqual(['bob: again']);
  expect(await bob.getByRole('alert').count()).toBe(0);
  await expect.poll(() => bob.getByPlaceholder('Message').inputValue()).toBe('');
  await reader.run('npx vite build');

  await reader.follow('A page without a bundler');
  const page = await open(`file://${reader.folder}/index.html`);
  await expect.poll(() => messages(page)).toEqual(['bob: again']);
  expect(await statusOf(page)).toBe('Connected');
  await reader.stop(/npx fanfare/);
  await expect.poll(() => statusOf(page)).toBe('Connecting…');
  await reader.start('cd ../chat && npx fanfare node');
  // The page begins again with the new history.
  await expect.poll(() => messages(page)).toEqual([]);
  await say(page, 'hello all');
  await expect.poll(() => page.getByPlaceholder('Message').inputValue()).toBe('');
  await expect.poll(() => messages(page)).toEqual(['page: hello all']);
  // An idle page may take some seconds until it tries again.
  for (const user of [alice, bob]) await expect.poll(() => messages(user)).toEqual(['page: hello all']);

  // Neither the build nor the server connects.
  const before = await accepted();
  await reader.follow('Next');
  expect(await accepted()).toBe(before);
  const next = await open('http://127.0.0.1:3100/');
  await expect.poll(() => messages(next)).toContain('page: hello all');
  await say(next, 'hello from next');
  await expect.poll(() => messages(bob)).toContain('next: hello from next');
  await next.close();

  expect(await reader.follow('A backend that publishes')).toContain('published as number 3\n');
  await expect.poll(() => messages(bob)).toContain('backend: The kitchen is open.');
  await Promise.all([alice.close(), bob.close(), page.close()]);

  await reader.follow('Tokens', (text, printed) =>
    text
      .replace('<hash>', /"sha256":"(\w+)"/.exec(printed)?.[1] ?? '<hash>')
      .replace('<key>', /fk_\S+/.exec(printed)?.[0] ?? '<key>'),
  );
  const user = await open('http://127.0.0.1:5173/?user=carol');
  await expect.poll(() => messages(user)).toEqual(['backend: The kitchen is open.']);
  await say(user, 'thanks');
  await expect.poll(() => messages(user)).toEqual(['backend: The kitchen is open.', 'carol: thanks']);
  const stranger = await open('http://127.0.0.1:5173/');
  const title = () => stranger.locator('p').getAttribute('title');
  await expect.poll(title).toContain('Add ?user=alice to the address.');
  expect(await statusOf(stranger)).toBe('Connecting…');
  await Promise.all([user.close(), stranger.close()]);

  const tested = await reader.follow('Test your app');
  expect(tested).toMatch(/Tests {2}1 passed/);
  expect(tested).toMatch(/Tests: +1 passed/);
  await reader.run('npx tsc');
  expect(pageErrors).toEqual([]);
});
