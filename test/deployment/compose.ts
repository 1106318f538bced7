/** Parses docker-compose.yml and its variants, and finds problems in them and in the files that they mount. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { longestDrainMs } from '../../broker/src/node/drain.js';
import { addressesOf, type Placement, readPlacement } from '../../broker/src/redis/placement.js';
import { type Config, loadConfig } from '../../broker/src/settings/config.js';
import { environmentOf, stagesOf } from './dockerfile.js';
import { root } from './image.js';

/** Files in compose/ that change docker-compose.yml: `docker compose -f docker-compose.yml -f compose/<name>.yml`. */
export const variants = ['shards', 'cluster'] as const;

export type Variant = (typeof variants)[number];

export interface Service {
  readonly image?: string;
  readonly build?: string | { readonly context: string; readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly networks?: { readonly default?: { readonly ipv4_address: string } };
  readonly restart?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly stop_grace_period?: string;
  readonly ulimits?: { readonly nofile?: number };
}

export interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

/** The texts of the files that must match. */
export interface Files {
  readonly compose: string;
  /** The variant; an empty text if there is none. */
  readonly variant: string;
  readonly haproxy: string;
  readonly prometheus: string;
  readonly redis: string;
  readonly dockerfile: string;
}

export function readFiles(variant: Variant | null = null): Files {
  const read = (file: string): string => readFileSync(join(root, file), 'utf8');
  return {
    compose: read('docker-compose.yml'),
    variant: variant === null ? '' : read(`compose/${variant}.yml`),
    haproxy: read('compose/haproxy.cfg'),
    prometheus: read('monitoring/prometheus/prometheus.yml'),
    redis: read('compose/redis.conf'),
    dockerfile: read('Dockerfile'),
  };
}

export function readCompose({ compose, variant }: Pick<Files, 'compose' | 'variant'>): Compose {
  const [base, changes] = [compose, variant].map((text): unknown => parse(text, { merge: true }) ?? {});
  return merged(base, changes) as Compose;
}

/** As `docker compose` does it, except that it would append lists of ports and volumes: no variant changes these. */
function merged(base: unknown, changes: unknown): unknown {
  if (!isMap(base) || !isMap(changes)) return changes;
  const all = Object.keys({ ...base, ...changes });
  return Object.fromEntries(
    all.map((key) => [
      key,
      !(key in changes) ? base[key] : key in base ? merged(base[key], changes[key]) : changes[key],
    ]),
  );
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface Mount {
  /** A path in the repository, or the name of a volume. */
  readonly source: string;
  readonly target: string;
  readonly isFile: boolean;
  readonly isReadOnly: boolean;
}

export function mountsOf(service: Service): Mount[] {
  return (service.volumes ?? []).map((text) => {
    const [source = '', target = '', mode] = text.split(':');
    return { source, target, isFile: source.startsWith('.'), isReadOnly: mode === 'ro' };
  });
}

/** Names of the services that are nodes. */
export function nodesOf({ services }: Compose): string[] {
  return Object.keys(services).filter((name) => services[name]?.build === '.');
}

/** Environment of a node: the variables of its image, overridden by those of docker-compose.yml. */
export function nodeEnvironment(service: Service, dockerfile: string): Record<string, string> {
  const last = stagesOf(dockerfile).at(-1);
  return { ...(last === undefined ? {} : environmentOf(last)), ...service.environment };
}

/** The problems, one sentence each; empty if there are none. */
export function problemsOf(files: Files): string[] {
  const compose = readCompose(files);
  const services = Object.entries(compose.services);
  const problems = services.flatMap(([name, service]) => [
    ...problemsOfService(service, compose).map((sentence) => `${name}: ${sentence}`),
  ]);
  for (const name of nodesOf(compose)) {
    const service = compose.services[name] ?? {};
    problems.push(...problemsOfNode(name, service, files, compose));
  }
  const targets: string[] = parse(files.prometheus).scrape_configs[0].static_configs[0].targets;
  if (targets.length !== nodesOf(compose).length) problems.push('Prometheus does not scrape exactly the nodes.');
  const maxConnections = Number(/^\s*maxconn (\d+)$/m.exec(files.haproxy)?.[1]);
  if (!(2 * maxConnections + 1_000 < (compose.services['balancer']?.ulimits?.nofile ?? 0))) {
    problems.push('balancer: `nofile` is too low for its maxconn.');
  }
  if (/on-marked-down/.test(files.haproxy.replace(/#.*$/gm, ''))) {
    problems.push('balancer: it closes the connections of a node that drains.');
  }
  if (seconds(/timeout tunnel (\S+)/.exec(files.haproxy)?.[1]) < 960) {
    problems.push('balancer: it closes idle WebSockets before the node does.');
  }
  for (const setting of ['appendonly yes', 'maxmemory-policy noeviction', 'stream-node-max-bytes 512']) {
    if (!files.redis.split('\n').includes(setting)) problems.push(`redis: ${setting} is missing.`);
  }
  if (!/^client-output-buffer-limit pubsub 64mb 32mb 60$/m.test(files.redis)) {
    problems.push('redis: the output buffers of nodes are too small.');
  }
  return problems;
}

function problemsOfService(service: Service, compose: Compose): string[] {
  const problems: string[] = [];
  const reportIf = (isWrong: boolean, sentence: string): void => {
    if (isWrong) problems.push(sentence);
  };
  const isPinned = /:v?\d+\.\d+\.\d+(-[\w.]+)?$/.test(service.image ?? '');
  reportIf(service.build === undefined && !isPinned, `${service.image} is not pinned.`);
  reportIf(service.read_only !== true, 'its file system is writable.');
  reportIf(!(service.cap_drop ?? []).includes('ALL'), 'it has capabilities.');
  reportIf(!(service.security_opt ?? []).includes('no-new-privileges:true'), 'it can gain privileges.');
  for (const port of service.ports ?? []) reportIf(!/^127\.0\.0\.1:\d+:\d+$/.test(port), `${port} is open to others.`);
  const check = service.healthcheck;
  reportIf(
    check?.disable !== true && check?.test?.[0] !== 'CMD',
    'it has no health check, or the check runs in a shell.',
  );
  for (const [name, { condition }] of Object.entries(service.depends_on ?? {})) {
    const other = compose.services[name];
    reportIf(other === undefined, `it depends on ${name}, which does not exist.`);
    // Services that end have nothing to check.
    if (condition === 'service_completed_successfully' && other?.restart === 'on-failure') continue;
    reportIf(condition !== 'service_healthy', `it does not wait until ${name} is healthy.`);
    reportIf(other?.healthcheck?.test === undefined, `it depends on ${name}, which has no health check.`);
  }
  for (const { source, isFile, isReadOnly } of mountsOf(service)) {
    reportIf(isFile && !existsSync(join(root, source)), `${source} does not exist.`);
    reportIf(isFile && !isReadOnly, `${source} is writable.`);
    reportIf(!isFile && !(source in compose.volumes), `${source} is not declared.`);
  }
  return problems;
}

function problemsOfNode(name: string, service: Service, files: Files, compose: Compose): string[] {
  const problems: string[] = [];
  const reportIf = (isWrong: boolean, sentence: string): void => {
    if (isWrong) problems.push(`${name}: ${sentence}`);
  };
  let config: Config;
  try {
    config = loadConfig(nodeEnvironment(service, files.dockerfile));
  } catch (error) {
    return [`${name}: ${String(error)}`];
  }
  reportIf(
    seconds(service.stop_grace_period) * 1_000 < longestDrainMs(config) + 5_000,
    'it is killed before the drain ends.',
  );
  reportIf(config.nodeName !== name, 'its node name is not the name of its service.');
  reportIf(config.host !== '0.0.0.0' || config.adminHost !== '0.0.0.0', 'it is not reachable.');
  const placement = readPlacement(config.redisUrl ?? 'redis://none');
  const servers = addressesOf(placement).flatMap(({ servers: [server] }) => server?.host ?? '');
  reportIf(!servers.every((server) => server in compose.services), 'its Redis does not exist.');
  problems.push(...problemsOfRedis(placement, servers, compose).map((sentence) => `${name}: ${sentence}`));
  const balancer = compose.services['balancer']?.networks?.default?.ipv4_address;
  reportIf(service.environment?.['FANFARE_TRUSTED_PROXIES'] !== balancer, 'it does not trust the balancer.');
  const server = new RegExp(`^\\s*server ${name} ${name}:${config.port} check port ${config.adminPort} `, 'm');
  reportIf(!server.test(files.haproxy), 'the balancer does not route to it.');
  const admin = new RegExp(`^\\s*server ${name} ${name}:${config.adminPort}$`, 'm');
  reportIf(!admin.test(files.haproxy), 'the balancer does not check its admin port.');
  reportIf(!files.prometheus.includes(`- ${name}:${config.adminPort}\n`), 'Prometheus does not scrape it.');
  return problems;
}

/** `40s`, `1h` */
function seconds(text: string | undefined): number {
  const [, amount = '0', unit = 's'] = /^(\d+)(s|m|h)$/.exec(text ?? '') ?? [];
  return Number(amount) * ({ s: 1, m: 60, h: 3_600 }[unit] ?? 0);
}

/** `servers`: the services in the URL of the nodes. */
function problemsOfRedis({ kind }: Placement, servers: readonly string[], { services }: Compose): string[] {
  const mounts = (service: Service, target: string): boolean =>
    mountsOf(service).some((mount) => mount.target === target);
  const stored = Object.entries(services).filter(([, service]) => mounts(service, '/data'));
  const problems = stored
    .filter(([, service]) => !mounts(service, '/etc/redis/redis.conf'))
    .map(([name]) => `${name} does not use redis.conf.`);
  if (kind !== 'cluster') {
    const unused = stored.filter(([name]) => !servers.includes(name));
    return [...problems, ...unused.map(([name]) => `it does not use ${name}.`)];
  }
  const commands = stored.map(([, { command = [] }]) => command.join(' '));
  for (const setting of ['enabled yes', 'node-timeout 2000', 'require-full-coverage no']) {
    if (!commands.every((command) => command.includes(`--cluster-${setting}`)))
      problems.push(`a server of the Redis Cluster has no --cluster-${setting}.`);
  }
  const addresses = stored.map(([, { networks }]) => `${networks?.default?.ipv4_address}:6379`);
  const created = services['redis-cluster']?.command?.slice(2) ?? [];
  if (created.toSorted().join() !== addresses.toSorted().join())
    problems.push('the Redis Cluster is not created of exactly the servers.');
  return problems;
}
