/** `npm run dashboard`: reads its flags, of which vitest would make a stack, and has it run dashboard.picture.ts. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { readFlags, UsageError } from '../../tools/kit/dist/flags.js';

const help = `Draws docs/images/dashboard.png anew: the Grafana dashboard (monitoring/grafana/fanfare.json), from what Prometheus answers while the
processes of docker-compose.yml run on this machine. Takes two minutes, and needs redis-server, haproxy, prometheus and chromium.

usage: npm run dashboard [-- --help]

  --help    show this
`;

const root = fileURLToPath(new URL('../..', import.meta.url));

try {
  const { positionals, values } = readFlags(process.argv.slice(2), { help: { type: 'boolean', default: false } });
  if (values.help) process.stdout.write(help);
  else if (positionals[0] !== undefined)
    throw new UsageError(`"${positionals[0]}" stands where an option was expected.`);
  else takePicture();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message} See --help.\n`);
  process.exitCode = 2;
}

function takePicture() {
  const args = ['node_modules/vitest/vitest.mjs', 'run', '--config', 'vitest.dashboard.config.ts'];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
