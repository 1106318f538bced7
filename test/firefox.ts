/**
 * Firefox without a window, if this machine has it; .ci/run installs one. Playwright drives only its own build of
 * Firefox, so this file uses WebDriver BiDi, which Firefox serves with `--remote-debugging-port`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { WebSocket } from 'ws';

const executablePath = (process.env['PATH'] ?? '')
  .split(delimiter)
  .flatMap((folder) => ['firefox-esr', 'firefox'].map((name) => join(folder, name)))
  .find((path) => existsSync(path));

export const hasFirefox = executablePath !== undefined;

/** A tab of it. */
export interface Tab extends AsyncDisposable {
  goto(url: string): Promise<void>;
  goBack(): Promise<void>;
  /** The value of an expression on the page, or the result of its promise; it must be JSON. */
  evaluate(expression: string): Promise<unknown>;
}

interface Answer {
  readonly id?: number;
  readonly type: string;
  readonly message?: string;
  readonly result: { readonly context: string; readonly result?: { readonly value?: string } };
}

export interface Browser extends AsyncDisposable {
  open(): Promise<Tab>;
}

export async function launchFirefox(): Promise<Browser> {
  const profile = await mkdtemp(join(tmpdir(), 'fanfare-firefox-'));
  const args = ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0'];
  const firefox = spawn(executablePath ?? 'firefox', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(firefox, 'exit');
  const url = await new Promise<string>((resolve, reject) => {
    let text = '';
    firefox.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const listening = /WebDriver BiDi listening on (ws:\S+)/.exec(text)?.[1];
      if (listening !== undefined) resolve(listening);
    });
    ended.then(() => reject(new Error(`Firefox has ended: ${text}`)), reject);
  });
  const socket = new WebSocket(`${url}/session`);
  await once(socket, 'open');
  const waiting = new Map<number, (answer: Answer) => void>();
  socket.on('message', (data: Buffer) => {
    const answer = JSON.parse(data.toString()) as Answer;
    waiting.get(answer.id ?? 0)?.(answer);
  });
  const command = async (method: string, params: object): Promise<Answer['result']> => {
    const id = waiting.size + 1;
    const answer = await new Promise<Answer>((resolve) => {
      waiting.set(id, resolve);
      socket.send(JSON.stringify({ id, method, params }));
    });
    if (answer.type === 'error') throw new Error(`${method}: ${answer.message}`);
    return answer.result;
  };
  await command('session.new', { capabilities: {} });
  return {
    async open() {
      const create = () => command('browsingContext.create', { type: 'tab' });
      // A busy Firefox sometimes closes a tab that it has just made.
      const { context } = await create().catch((error: Error) => {
        if (error.message.includes('DiscardedBrowsingContextError')) return create();
        throw error;
      });
      return {
        async goto(page) {
          await command('browsingContext.navigate', { context, url: page, wait: 'complete' });
        },
        async goBack() {
          await command('browsingContext.traverseHistory', { context, delta: -1 });
        },
        async evaluate(expression) {
          const script = `Promise.resolve(${expression}).then((value) => JSON.stringify(value ?? null))`;
          const { result } = await command('script.evaluate', {
            expression: script,
            target: { context },
            awaitPromise: true,
          });
          return JSON.parse(result?.value ?? 'null');
        },
        async [Symbol.asyncDispose]() {
          await command('browsingContext.close', { context });
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await command('browser.close', {}).catch(() => firefox.kill());
      socket.terminate();
      await ended;
      await rm(profile, { recursive: true, force: true });
    },
  };
}
