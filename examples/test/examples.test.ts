/** Runs the programs of README.md and docs/start.md as a reader would. They need the output of `npm run build`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { FaultProxy } from '@fanfare/local-cluster';
import { describe, expect, it, vi } from 'vitest';
import { createApiKey } from '../../broker/src/auth/api-keys.js';
import { startNode } from '../../broker/test/harness.js';

function start(
  program: string,
  ...args: string[]
): { child: ChildProcess; output(): string; exited: Promise<number | null> } {
  const child = spawn(process.execPath, [fileURLToPath(new URL(`../dist/${program}.js`, import.meta.url)), ...args]);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      text += data;
      child.emit('output');
    });
  }
  const exited = once(child, 'close').then(([code]) => code as number | null);
  return { child, output: () => text, exited };
}

/** Resolves when the program has printed `text`; rejects if it ends first. */
async function untilPrinted({ child, output, exited }: ReturnType<typeof start>, text: string): Promise<void> {
  let hasExited = false;
  void exited.then(() => {
    hasExited = true;
    child.emit('output');
  });
  while (!output().includes(text)) {
    if (hasExited) throw new Error(`The program ended without printing "${text}":\n${output()}`);
    await once(child, 'output');
  }
}

describe('the programs of the first steps', () => {
  it('publish a value that a subscriber in another terminal sees', async () => {
    await using node = await startNode({});
    const subscriber = start('subscribe', 'news', node.url);
    await untilPrinted(subscriber, 'Subscribed to news.');
    const publisher = start('publish', 'news', '{"title":"hello"}', node.url);
    expect(await publisher.exited).toBe(0);
    await untilPrinted(subscriber, 'news {"title":"hello"}\n');
    subscriber.child.kill('SIGINT');
    expect(await subscriber.exited).toBe(0);
  });

  it('use the token in FANFARE_TOKEN, and say how to set it', async () => {
    const { key, entry } = createApiKey('news');
    const apiKeys = [{ ...entry, permissions: { publish: ['news'] } }];
    await using node = await startNode({ FANFARE_AUTH: JSON.stringify({ apiKeys }) });
    const without = start('publish', 'news', '1', node.url);
    expect(await without.exited).toBe(1);
    expect(without.output()).toMatch(/^unauthenticated: .*\. Set FANFARE_TOKEN to a token or an API key\.\n$/);
    vi.stubEnv('FANFARE_TOKEN', key);
    const publisher = start('publish', 'news', '1', node.url);
    vi.unstubAllEnvs();
    expect(await publisher.exited).toBe(0);
  });

  it('print once why they are not connected, and that they are connected again', async () => {
    await using node = await startNode({});
    await using way = await FaultProxy.start({ targetPort: Number(new URL(node.url).port) });
    const url = `ws://${way.address}/ws`;
    const subscriber = start('subscribe', 'news', url);
    await untilPrinted(subscriber, 'Subscribed to news.');
    await way.refuse();
    await untilPrinted(subscriber, 'ECONNREFUSED');
    await way.heal();
    await untilPrinted(subscriber, `${url}: connected again.\n`);
    const reasons = subscriber.output().match(/.*; trying again\.\n/g) ?? [];
    expect(reasons.join('')).not.toContain('.;');
    expect(reasons).toEqual([...new Set(reasons)]);
    subscriber.child.kill('SIGINT');
    expect(await subscriber.exited).toBe(0);
  });

  it.each([
    [['publish', 'news'], 2, 'Usage: npm run publish -- <topic> <json> [url]'],
    [['publish', '--help'], 0, 'Usage: npm run publish -- <topic> <json> [url]'],
    [['subscribe', '--topic', 'news'], 2, 'Usage: npm run subscribe -- <topic> [url]'],
    [['subscribe', 'a..b'], 1, '"a..b"'],
    [['publish', 'news', '{oops'], 1, `{oops is not JSON: write a string as '"hello"', an object as '{"a":1}'.`],
    [['publish', 'no topic', '1'], 1, '"no topic" is not a valid topic'],
    [['subscribe'], 2, 'Usage: npm run subscribe -- <topic> [url]'],
    [['subscribe', 'news', 'ftp://localhost'], 1, 'ws:'],
  ] as const)('print what is wrong: %j', async ([program, ...args], code, sentence) => {
    const run = start(program, ...args);
    expect(await run.exited).toBe(code);
    expect(run.output()).toContain(sentence);
  });

  it('replay ten thousand flights across two nodes and find every one, once and in order', async () => {
    const demo = start('demo');
    expect(await demo.exited).toBe(0);
    expect(demo.output()).toContain('Two nodes: publishing at ');
    expect(demo.output()).toContain('MessagePack: all 10000 rows arrived, each once, in order, unaltered.');
    expect(demo.output()).toContain('JSON: all 10000 rows arrived, each once, in order, unaltered.');
  });
});
