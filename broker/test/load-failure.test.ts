/**
 * The sentences about a binary of uWebSockets.js that does not load. `npm run test:nodes` also starts nodes on versions
 * of Node that cannot load it.
 */
import { expect, it } from 'vitest';
import { explainLoadFailure, thisSystem } from '../src/connection/load-failure.js';

const system = { node: '24.22.3', platform: 'linux', arch: 'x64', glibc: '2.36' };
/** As the library words it: its own sentence first, then the error. */
const wrapped = (error: string): string =>
  `This version of uWS.js supports only Node.js versions 16 and 18.\n\n${error}`;
const noModule = wrapped("Error: Cannot find module './uws_linux_x64_147.node'\nRequire stack:\n- /app/uws.js");
const oldGlibc = wrapped("Error: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /app/uws.node)");

it.each([
  [
    'no binary for this Node',
    noModule,
    { node: '26.12.1' },
    'uWebSockets.js has no binary for Node 26 on linux x64. Use Node 20, 22 or 24 on Linux, x64 or arm64.',
  ],
  [
    'no binary for this processor',
    wrapped("Error: Cannot find module './uws_linux_riscv64_137.node'"),
    { arch: 'riscv64' },
    'uWebSockets.js has no binary for Node 24 on linux riscv64. Use Node 20, 22 or 24 on Linux, x64 or arm64.',
  ],
  [
    'a glibc that is too old',
    oldGlibc,
    {},
    'With Node 24, uWebSockets.js needs glibc 2.38 or later, and this system has 2.36. Use a newer system, such as Debian 13 or Ubuntu 24.04, or use Node 20.',
  ],
  [
    'musl',
    wrapped('Error: Error loading shared library ld-linux-x86-64.so.2: No such file or directory'),
    { glibc: null },
    'This system has no glibc (Alpine Linux has musl), and uWebSockets.js needs it. Use a system with glibc, such as the image node:24-trixie-slim.',
  ],
  [
    'a damaged file',
    wrapped('Error: /app/uws_linux_x64_137.node: file too short\n    at somewhere'),
    {},
    'uWebSockets.js does not load with Node 24.22.3 on linux x64: Error: /app/uws_linux_x64_137.node: file too short. Remove node_modules, and install the packages again.',
  ],
  [
    'a missing package',
    "Cannot find package 'uWebSockets.js' imported from /app/listeners.js",
    {},
    "uWebSockets.js does not load with Node 24.22.3 on linux x64: Cannot find package 'uWebSockets.js' imported from /app/listeners.js. Remove node_modules, and install the packages again.",
  ],
])('the sentence about %s says what to do', (_, reason, difference, sentence) => {
  expect(explainLoadFailure(reason, { ...system, ...difference })).toBe(sentence);
});

it('the system of this process has a glibc', () => {
  const { node, glibc } = thisSystem();
  expect(node).toBe(process.versions.node);
  expect(glibc).toMatch(/^2\.\d+$/);
});
