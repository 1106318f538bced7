/** Tests of an app with Vitest, Happy DOM and Testing Library. */
import { expect, it } from 'vitest';
import { startNode } from '../../../broker/test/harness.js';
import { Project } from './project.js';

const packages = {
  react: '19.3.1',
  'react-dom': '19.3.1',
  vite: '8.4.0',
  vitest: '4.1.12',
  'happy-dom': '21.0.4',
  '@testing-library/dom': '10.4.2',
  '@testing-library/react': '16.3.3',
};

const test = (url: string): string => `
  import { createClient } from '@fanfare/client';
  import { FanfareProvider, useTopic } from '@fanfare/react';
  import { flush } from '@fanfare/react/testing';
  import { cleanup, render, screen } from '@testing-library/react';
  import { afterEach, beforeEach, expect, test, vi } from 'vitest';

  globalThis.IS_REACT_ACT_ENVIRONMENT = true;
  const List = () => <p>{useTopic('numbers', { list: 9, last: 9 }).data.map(({ data }) => data).join()}</p>;
  const error = vi.spyOn(console, 'error');
  afterEach(() => {
    cleanup();
    expect(error).not.toHaveBeenCalled();
  });

  const server = createClient('${url}');
  const client = createClient('${url}');
  const show = () => render(<FanfareProvider client={client}><List /></FanfareProvider>);

  test('findBy waits for publications', async () => {
    await server.publish('numbers', 1);
    show();
    await screen.findByText('1');
    await server.publish('numbers', 2);
    await screen.findByText('1,2');
  });

  test('flush() renders them', async () => {
    show();
    await expect.poll(async () => {
      await flush();
      return document.body.textContent;
    }, { timeout: 60_000 }).toBe('1,2');
  });
`;

it('React warns about nothing, with findBy… and with flush()', async () => {
  await using node = await startNode({});
  await using project = await Project.create(packages, {
    'vite.config.js': `export default { oxc: { jsx: { runtime: 'automatic' } }, test: { environment: 'happy-dom', globals: true } };`,
    'list.test.jsx': test(node.url).trimStart(),
  });
  expect(await project.run('vitest', 'run', '--no-color')).toMatch(/Tests {2}2 passed/);
});
