/** Connections of a node to a port of this machine that go to another port (port-redirect.ts). */

/** `from=to` for each port, separated by commas. */
export const redirectVariable = 'VERIFY_REDIRECT_PORTS';

/** The program that a node runs first is in dist, also if this runs from src. A URL, because a path may have blanks. */
const program = new URL('../../dist/cluster/port-redirect.js', import.meta.url);

/** Environment variables for a node. */
export function redirectPort(from: number, to: number): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--import ${program.href}`, [redirectVariable]: `${from}=${to}` };
}
