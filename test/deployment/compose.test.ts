/** docker-compose.yml and the files that it mounts: linted, and held against each other and against the broker's settings. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { DCLinter } from 'dclint';
import { describe, expect, it } from 'vitest';
import { complaintsAbout, type Files, readFiles } from './compose.js';
import { root } from './image.js';

const linter = new DCLinter({
  rules: {
    // A built image has a name, which the three nodes have in common.
    'no-build-and-image': 0,
    // The file is in the order in which things start; each service begins with what it is.
    'service-keys-order': 0,
    'services-alphabetical-order': 0,
    'top-level-properties-order': 0,
  },
  quiet: false,
  debug: false,
  exclude: [],
});

/** Its types do not reach us: they import each other in a way that `nodenext` does not follow. */
function sentences({ messages }: { readonly messages: readonly { readonly message: string }[] }): string[] {
  return messages.map(({ message }) => message);
}

async function lint(text: string): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'fanfare-compose-'));
  try {
    const file = join(folder, 'docker-compose.yml');
    await writeFile(file, text);
    return linter.lintFiles([file], false).flatMap(sentences);
  } finally {
    await rm(folder, { recursive: true });
  }
}

const files = readFiles();

describe('docker-compose.yml', () => {
  it('is valid, and has nothing that the linter complains about', async () => {
    expect(await lint(files.compose)).toEqual([]);
  });

  it('fits the broker and the files that it mounts', () => {
    expect(complaintsAbout(files)).toEqual([]);
  });

  it.each<[string, string, string]>([
    ['a key that does not exist', 'stop_grace_period:', 'stop_grace:'],
    ['a port without quotes', "- '127.0.0.1:9090:9090'", '- 127.0.0.1:9090:9090'],
  ])('would be complained about by the linter with %s', async (_, good, bad) => {
    expect(files.compose).toContain(good);
    expect(await lint(files.compose.replace(good, bad))).not.toEqual([]);
  });

  it.each<[string, keyof Files, string, string]>([
    ['an image that moves', 'compose', 'grafana/grafana:12.1.1', 'grafana/grafana:latest'],
    ['a port that is open to others', 'compose', '127.0.0.1:9090:9090', '9090:9090'],
    ['an unknown setting', 'compose', 'FANFARE_AUTH: none', 'FANFARE_AUTHORITY: none'],
    ['nobody asked', 'compose', 'FANFARE_AUTH: none', 'FANFARE_LOG_LEVEL: info'],
    ['a wrong value', 'compose', 'FANFARE_AUTH: none', 'FANFARE_AUTH: nobody'],
    ['an admin port that nobody reaches', 'compose', '  FANFARE_ADMIN_HOST: 0.0.0.0\n', ''],
    ['two nodes of one name', 'compose', 'FANFARE_NODE_NAME: fanfare-2', 'FANFARE_NODE_NAME: fanfare-1'],
    ['too little time to drain', 'compose', 'stop_grace_period: 45s', 'stop_grace_period: 10s'],
    ['no health check', 'compose', 'test: ["CMD", "redis-cli"', 'start_interval: 1s # ["CMD", "redis-cli"'],
    ['a dependency that is not there', 'compose', '    redis:\n      condition', '    valkey:\n      condition'],
    ['a dependency that is not waited for', 'compose', 'condition: service_healthy', 'condition: service_started'],
    ['a file that is not there', 'compose', './compose/redis.conf', './compose/valkey.conf'],
    ['a file that can be written', 'compose', 'redis.conf:ro', 'redis.conf'],
    ['a volume that is not declared', 'compose', '- redis-data:/data', '- data:/data'],
    ['files that can be written', 'compose', 'read_only: true', 'read_only: false'],
    ['capabilities', 'compose', 'cap_drop: [ALL]', 'cap_drop: [NET_RAW]'],
    ['another proxy', 'compose', 'FANFARE_TRUSTED_PROXIES: 10.213.57.2', 'FANFARE_TRUSTED_PROXIES: 10.213.57.3'],
    ['too few files', 'compose', 'nofile: 65536\n    volumes', 'nofile: 1024\n    volumes'],
    ['another port', 'compose', 'FANFARE_AUTH: none', 'FANFARE_AUTH: none\n  FANFARE_PORT: "9000"'],
    ['another port behind the balancer', 'haproxy', 'fanfare-2:8080', 'fanfare-2:8090'],
    ['another admin port behind the balancer', 'haproxy', 'fanfare-3:8081\n', 'fanfare-3:8091\n'],
    ['connections that are cut', 'haproxy', 'check port', 'on-marked-down shutdown-sessions check port'],
    ['a short tunnel', 'haproxy', 'timeout tunnel 1h', 'timeout tunnel 60s'],
    ['a node that is not measured', 'prometheus', '          - fanfare-3:8081\n', ''],
    ['keys that Redis throws away', 'redis', 'noeviction', 'allkeys-lru'],
    ['small output buffers', 'redis', '64mb 32mb 60', '32mb 8mb 60'],
  ])('would be complained about with %s', (_, file, good, bad) => {
    expect(files[file]).toContain(good);
    expect(complaintsAbout({ ...files, [file]: files[file].replace(good, bad) })).not.toEqual([]);
  });
});

const haproxy = (process.env['PATH'] ?? '')
  .split(delimiter)
  .concat('/usr/sbin')
  .map((folder) => join(folder, 'haproxy'))
  .find((path) => existsSync(path));

it.skipIf(haproxy === undefined)('haproxy takes its configuration as it is', () => {
  const { status, stderr } = spawnSync(haproxy ?? '', ['-c', '-f', join(root, 'compose/haproxy.cfg')], {
    encoding: 'utf8',
  });
  expect(status, stderr).toBe(0);
});
