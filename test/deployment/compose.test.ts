/**
 * docker-compose.yml, its variants and the files that they mount: linted, and compared with each other and with the
 * broker's settings.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { DCLinter } from 'dclint';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type Files, problemsOf, readCompose, readFiles, variants } from './compose.js';
import { root } from './image.js';

const linter = new DCLinter({
  rules: {
    // The three nodes share the name of the image that is built.
    'no-build-and-image': 0,
    // The file lists services in the order in which they start. Each service begins with its image.
    'service-keys-order': 0,
    'services-alphabetical-order': 0,
    'top-level-properties-order': 0,
  },
  quiet: false,
  debug: false,
  exclude: [],
});

/** We cannot use its own types: they import each other in a way that `nodenext` does not resolve. */
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
  it('is valid and passes the linter', async () => {
    expect(await lint(files.compose)).toEqual([]);
  });

  it('matches the broker and the files that it mounts', () => {
    expect(problemsOf(files)).toEqual([]);
  });

  it.each<[string, string, string]>([
    ['a key that does not exist', 'stop_grace_period:', 'stop_grace:'],
    ['a port without quotes', "- '127.0.0.1:9090:9090'", '- 127.0.0.1:9090:9090'],
  ])('fails the linter with %s', async (_, good, bad) => {
    expect(files.compose).toContain(good);
    expect(await lint(files.compose.replace(good, bad))).not.toEqual([]);
  });

  it.each<[string, keyof Files, string, string]>([
    ['an image without a fixed version', 'compose', 'grafana/grafana:12.1.1', 'grafana/grafana:latest'],
    ['a port that is open to others', 'compose', '127.0.0.1:9090:9090', '9090:9090'],
    ['an unknown setting', 'compose', 'FANFARE_AUTH: none', 'FANFARE_AUTHORITY: none'],
    ['nobody asked', 'compose', 'FANFARE_AUTH: none', 'FANFARE_LOG_LEVEL: info'],
    ['a wrong value', 'compose', 'FANFARE_AUTH: none', 'FANFARE_AUTH: nobody'],
    ['an admin port that is not reachable', 'compose', '  FANFARE_ADMIN_HOST: 0.0.0.0\n', ''],
    ['two nodes with one name', 'compose', 'FANFARE_NODE_NAME: fanfare-2', 'FANFARE_NODE_NAME: fanfare-1'],
    ['too little time to drain', 'compose', 'stop_grace_period: 45s', 'stop_grace_period: 10s'],
    ['no health check', 'compose', 'test: ["CMD", "redis-cli"', 'start_interval: 1s # ["CMD", "redis-cli"'],
    ['a dependency that does not exist', 'compose', '    redis:\n      condition', '    valkey:\n      condition'],
    [
      'a service that does not wait for its dependency',
      'compose',
      'condition: service_healthy',
      'condition: service_started',
    ],
    ['a file that does not exist', 'compose', './compose/redis.conf', './compose/valkey.conf'],
    ['a writable file', 'compose', 'redis.conf:ro', 'redis.conf'],
    ['a volume that is not declared', 'compose', '- redis-data:/data', '- data:/data'],
    ['a writable file system', 'compose', 'read_only: true', 'read_only: false'],
    ['capabilities', 'compose', 'cap_drop: [ALL]', 'cap_drop: [NET_RAW]'],
    ['another proxy', 'compose', 'FANFARE_TRUSTED_PROXIES: 10.213.57.2', 'FANFARE_TRUSTED_PROXIES: 10.213.57.3'],
    ['too few file descriptors', 'compose', 'nofile: 65536\n    volumes', 'nofile: 1024\n    volumes'],
    ['another port', 'compose', 'FANFARE_AUTH: none', 'FANFARE_AUTH: none\n  FANFARE_PORT: "9000"'],
    ['another port behind the balancer', 'haproxy', 'fanfare-2:8080', 'fanfare-2:8090'],
    ['another admin port behind the balancer', 'haproxy', 'fanfare-3:8081\n', 'fanfare-3:8091\n'],
    ['connections that are cut', 'haproxy', 'check port', 'on-marked-down shutdown-sessions check port'],
    ['a short tunnel', 'haproxy', 'timeout tunnel 1h', 'timeout tunnel 60s'],
    ['a node that Prometheus does not scrape', 'prometheus', '          - fanfare-3:8081\n', ''],
    ['a Redis that evicts keys', 'redis', 'noeviction', 'allkeys-lru'],
    ['small output buffers', 'redis', '64mb 32mb 60', '32mb 8mb 60'],
  ])('fails the checks with %s', (_, file, good, bad) => {
    expect(files[file]).toContain(good);
    expect(problemsOf({ ...files, [file]: files[file].replace(good, bad) })).not.toEqual([]);
  });
});

describe.each(variants)('compose/%s.yml', (variant) => {
  const changed = readFiles(variant);

  it('passes the linter, together with docker-compose.yml', async () => {
    const wrong = await lint(stringify(readCompose(changed), { aliasDuplicateObjects: false }));
    // Only people need them.
    expect(wrong.filter((sentence) => !sentence.includes('should be enclosed in quotes'))).toEqual([]);
  });

  it('matches the broker and the files that it mounts', () => {
    expect(problemsOf(changed)).toEqual([]);
  });

  it('names its own file in its comment', () => {
    expect(changed.variant).toContain(`docker compose -f docker-compose.yml -f compose/${variant}.yml up --build\n`);
  });
});

describe('a variant', () => {
  it.each<[string, (typeof variants)[number], string, string]>([
    ['a shard that the nodes do not use', 'shards', '@redis:6379;redis-2:6379', '@redis:6379'],
    ['a shard that does not exist', 'shards', '@redis:6379;redis-2:6379', '@redis:6379;redis-2:6379;redis-3:6379'],
    ['a shard listed twice', 'shards', '@redis:6379;redis-2:6379', '@redis:6379;redis:6379'],
    ['a shard with its own settings', 'shards', '- ./compose/redis.conf:/etc/redis/redis.conf:ro', ''],
    ['nodes that do not wait for a shard', 'shards', 'service_healthy', 'service_started'],
    ['a server that is no part of the Redis Cluster', 'cluster', '"--cluster-enabled", "yes", ', ''],
    ['a Redis Cluster that stops with one master', 'cluster', 'coverage", "no"', 'coverage", "yes"'],
    ['a Redis Cluster that notices failures late', 'cluster', '"2000"', '"15000"'],
    ['another address', 'cluster', 'ipv4_address: 10.213.57.8', 'ipv4_address: 10.213.57.9'],
    ['nodes that do not wait for the Redis Cluster', 'cluster', 'service_completed_successfully', 'service_started'],
    ['a Redis Cluster that is created again and again', 'cluster', 'restart: on-failure', 'restart: unless-stopped'],
    ['a missing server', 'cluster', ',redis-3:6379', ',redis-7:6379'],
  ])('fails the checks with %s', (_, variant, good, bad) => {
    const changed = readFiles(variant);
    expect(changed.variant).toContain(good);
    expect(problemsOf({ ...changed, variant: changed.variant.replace(good, bad) })).not.toEqual([]);
  });
});

const haproxy = (process.env['PATH'] ?? '')
  .split(delimiter)
  .concat('/usr/sbin')
  .map((folder) => join(folder, 'haproxy'))
  .find((path) => existsSync(path));

it.skipIf(haproxy === undefined)('haproxy accepts its configuration', () => {
  const { status, stderr } = spawnSync(haproxy ?? '', ['-c', '-f', join(root, 'compose/haproxy.cfg')], {
    encoding: 'utf8',
  });
  expect(status, stderr).toBe(0);
});
