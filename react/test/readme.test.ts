/** The examples of the README compile and run. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createClient } from '@fanfare/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startNode } from '../../broker/test/harness.js';
import { hasBrowser, launchBrowser } from '../../test/chromium.js';
import { bundle, open } from './site.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

/** Each example begins with its path. */
const examples = [...readme.matchAll(/```tsx?\n(\/\/ (\S+)\n[\s\S]*?)```/g)].map(([, code = '', path = '']) => ({
  path,
  code,
}));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fanfare-react-readme-'));
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const { path, code } of examples) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), code);
  }
});
afterAll(() => rm(folder, { recursive: true }));

it('every example names its file', () => {
  expect(examples.length).toBe(readme.split('```ts').length - 1);
  expect(examples.map(({ path }) => path)).toContain('src/main.tsx');
});

it('the examples compile', async () => {
  const compilerOptions = {
    ...{ strict: true, noEmit: true, jsx: 'react-jsx', target: 'es2022', lib: ['es2022', 'dom', 'dom.iterable'] },
    ...{
      module: 'esnext',
      moduleResolution: 'bundler',
      types: [],
      skipLibCheck: true,
      exactOptionalPropertyTypes: true,
    },
  };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src', 'app'] }));
  const output = await new Promise<string>((resolve) => {
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    execFile(process.execPath, [compiler, '-p', folder], { cwd: folder }, (_error, stdout) => resolve(stdout.trim()));
  });
  expect(output).toBe('');
});

it.skipIf(!hasBrowser)('the chat and its test run', async () => {
  await using node = await startNode({});
  await using writer = createClient(node.url);
  await using browser = await launchBrowser();
  await writer.publish('chat.lobby', { user: 'carl', text: 'first' });
  const program = `import ${JSON.stringify(join(folder, 'src/main.tsx'))};`;
  const script = (await bundle(program)).replaceAll('ws://127.0.0.1:8080/ws', node.url);
  await using chat = await open(browser, script);
  await expect.poll(() => chat.text()).toContain('carl: first');
  await chat.page.fill('input', 'hello');
  await chat.page.click('button');
  await expect.poll(() => chat.text()).toContain('ann: hello');
  expect(await chat.page.inputValue('input')).toBe('');
  expect(await chat.text()).toContain('Connected');
  expect(chat.problems).toEqual([]);

  const test = `import { test } from ${JSON.stringify(join(folder, 'src/chat.test.tsx'))}; window.done = test('${node.url}');`;
  await using tested = await open(browser, await bundle(test));
  await tested.page.evaluate('window.done');
  expect(tested.problems).toEqual([]);
});
