/**
 * `npm run dashboard`: parses its options and runs dashboard.picture.ts. Vitest would print a stack trace for an
 * unknown option.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseOptions, runCommand } from '../../tools/kit/dist/options.js';

const help = `Draws docs/images/dashboard.png again: the Grafana dashboard (monitoring/grafana/fanfare.json) with data that Prometheus collects
while the processes of docker-compose.yml run on this machine. Takes two minutes. Needs redis-server, haproxy, prometheus and chromium.

usage: npm run dashboard [-- --help]

  --help    show this help
`;

const root = fileURLToPath(new URL('../..', import.meta.url));

await runCommand(async (args) => {
  parseOptions(args, {}, () => help);
  takePicture();
});

function takePicture() {
  const args = ['node_modules/vitest/vitest.mjs', 'run', '--config', 'vitest.dashboard.config.ts'];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
