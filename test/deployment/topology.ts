/**
 * Starts what `docker compose up` starts, as processes on free ports of this machine. It uses docker-compose.yml or one
 * of its variants and the files that it mounts, and rewrites only what differs between a container and a process:
 *   - `<service>:<port>`, ports that a service listens on or checks itself, and fixed addresses become loopback
 *     addresses;
 *   - paths in a container become paths in a temporary folder with the mounted files, rewritten in the same way;
 *   - the balancer takes 2,000 connections instead of 20,000, because a process here may not open enough files;
 *   - the demo can make a tenth of its load;
 *   - Prometheus scrapes and evaluates rules each second, so that tests need not wait.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Child, findFreePort } from '@fanfare/local-cluster';
import { loadConfig } from '../../broker/src/settings/config.js';
import {
  type Compose,
  type Files,
  mountsOf,
  nodeEnvironment,
  nodesOf,
  readCompose,
  readFiles,
  type Service,
  type Variant,
} from './compose.js';
import { execForm, stagesOf } from './dockerfile.js';
import { root } from './image.js';
import { findProgram } from './programs.js';

const run = promisify(execFile);
const healthDeadlineMs = 30_000;
const pollIntervalMs = 200;

interface TopologyOptions {
  /** Services that are not started. Other services do not wait for them. */
  readonly without: readonly string[];
  /** Default: none. */
  readonly variant?: Variant;
  /** More settings of the nodes. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether the demo makes only a tenth of its load. */
  readonly hasSmallDemo?: boolean;
}

export class Topology implements AsyncDisposable {
  /** Names of the services, in the order in which they were started. */
  readonly started: string[] = [];
  readonly compose: Compose;
  readonly #files: Files;
  readonly #folder: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #hasSmallDemo: boolean;
  /** Ports on this machine, by `<service>:<port>`. */
  readonly #ports = new Map<string, number>();
  readonly #children = new Map<string, Child>();

  static async start(options: TopologyOptions): Promise<Topology> {
    const { without } = options;
    const topology = new Topology(await mkdtemp(join(tmpdir(), 'fanfare-topology-')), options);
    try {
      await topology.#choosePorts();
      const waiting = new Set(Object.keys(topology.compose.services).filter((name) => !without.includes(name)));
      while (waiting.size > 0) {
        const next = [...waiting].find((name) => topology.#dependencies(name).every((other) => !waiting.has(other)));
        if (next === undefined) throw new Error(`These depend on each other: ${[...waiting].join(', ')}`);
        waiting.delete(next);
        for (const other of topology.#dependencies(next)) await topology.#becomesUsable(next, other);
        await topology.startService(next);
        topology.started.push(next);
      }
      return topology;
    } catch (error) {
      await topology[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(folder: string, { variant, env = {}, hasSmallDemo = false }: TopologyOptions) {
    this.#folder = folder;
    this.#env = env;
    this.#hasSmallDemo = hasSmallDemo;
    this.#files = readFiles(variant);
    this.compose = readCompose(this.#files);
  }

  /** The local address of a service that listens on `port` in its container. */
  address(service: string, port: number): string {
    return `127.0.0.1:${this.#port(service, port)}`;
  }

  child(service: string): Child {
    const child = this.#children.get(service);
    if (child === undefined) throw new Error(`${service} was not started.`);
    return child;
  }

  /** Waits until the health check from docker-compose.yml succeeds. */
  async becomesHealthy(service: string): Promise<void> {
    const [, ...words] = this.#service(service).healthcheck?.test ?? [];
    const [program = '', ...args] = words.map((word) => this.#rewrite(service, word));
    const child = this.child(service);
    const deadline = performance.now() + healthDeadlineMs;
    while (true) {
      const error: unknown = await run(program === 'node' ? process.execPath : program, args).then(
        () => null,
        (reason: unknown) => reason,
      );
      if (error === null) return;
      if (child.hasExited || performance.now() > deadline) {
        throw new Error(child.explain(`${service} is not healthy: ${String(error)}.`));
      }
      await delay(pollIntervalMs);
    }
  }

  /** Waits until `other` is healthy or has done its work, as its dependent asks. */
  async #becomesUsable(service: string, other: string): Promise<void> {
    if (this.#service(service).depends_on?.[other]?.condition !== 'service_completed_successfully')
      return this.becomesHealthy(other);
    const child = this.child(other);
    const code = await child.exited;
    if (code !== 0) throw new Error(child.explain(`${other} ended with ${code}.`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Stop clients before servers, so that none logs errors about the others.
    for (const name of this.started.toReversed()) await this.#children.get(name)?.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #service(name: string): Service {
    const service = this.compose.services[name];
    if (service === undefined) throw new Error(`There is no service ${name}.`);
    return service;
  }

  #dependencies(name: string): string[] {
    return Object.keys(this.#service(name).depends_on ?? {});
  }

  #port(service: string, port: number | string): number {
    const found = this.#ports.get(`${service}:${port}`);
    if (found === undefined) throw new Error(`docker-compose.yml does not say that ${service} listens on ${port}.`);
    return found;
  }

  /**
   * A service listens on the ports that it publishes and that its health check uses; a node also on those of its
   * settings.
   */
  async #choosePorts(): Promise<void> {
    const nodes = nodesOf(this.compose);
    for (const [name, service] of Object.entries(this.compose.services)) {
      const published = (service.ports ?? []).map((port) => port.split(':').at(-1) ?? '');
      const asked = [...(service.healthcheck?.test ?? []).join(' ').matchAll(/127\.0\.0\.1:(\d+)/g)].map(
        ([, port = '']) => port,
      );
      const config = nodes.includes(name) ? loadConfig(nodeEnvironment(service, this.#files.dockerfile)) : null;
      const set = config === null ? [] : [String(config.port), String(config.adminPort)];
      for (const port of new Set([...published, ...asked, ...set])) {
        this.#ports.set(`${name}:${port}`, await findFreePort());
      }
    }
  }

  /** The path on this machine of a path in a service's container. */
  #path(service: string, path: string): string {
    return join(this.#folder, service, path);
  }

  #rewrite(service: string, text: string): string {
    let rewritten = text.replace(/\b([a-z]+(?:-\d+)?):(\d+)\b/g, (all, name: string, port: string) =>
      this.#ports.has(all) ? this.address(name, Number(port)) : all,
    );
    rewritten = rewritten.replace(/127\.0\.0\.1:(\d+)/g, (all, port: string) =>
      this.#ports.has(`${service}:${port}`) ? this.address(service, Number(port)) : all,
    );
    for (const [name, { networks }] of Object.entries(this.compose.services)) {
      const fixed = networks?.default?.ipv4_address;
      if (fixed === undefined) continue;
      rewritten = rewritten.replace(new RegExp(`\\b${fixed}\\b(?::(\\d+))?`, 'g'), (_, port?: string) =>
        port === undefined ? '127.0.0.1' : this.address(name, Number(port)),
      );
    }
    const targets = mountsOf(this.#service(service)).map(({ target }) => target);
    if (targets.length === 0) return rewritten;
    // A path is an argument, or follows the `=` of one.
    return rewritten.replace(new RegExp(`(?<=^|=)(?:${targets.join('|')})(?=/|$)`), (path) =>
      this.#path(service, path),
    );
  }

  #rewriteFile(service: string, file: string, text: string): string {
    if (file.endsWith('haproxy.cfg')) {
      return this.#rewrite(
        service,
        text.replace(/(server (\S+) .*check port )(\d+)/g, (_, start: string, name: string, port: string) => {
          return `${start}${this.#port(name, port)}`;
        }),
      )
        .replace(/bind :(\d+)/g, (_, port: string) => `bind ${this.address(service, Number(port))}`)
        .replace(/maxconn \d+/, 'maxconn 2000');
    }
    if (file.endsWith('prometheus.yml')) {
      return this.#rewrite(service, text).replace(/(scrape|evaluation)_interval: \d+s/g, '$1_interval: 1s');
    }
    return text;
  }

  async #mount(name: string): Promise<void> {
    for (const { source, target, isFile } of mountsOf(this.#service(name))) {
      const path = this.#path(name, target);
      if (!isFile) {
        await mkdir(path, { recursive: true });
        continue;
      }
      await mkdir(dirname(path), { recursive: true });
      await cp(join(root, source), path, { recursive: true });
      const isFolder = (await stat(path)).isDirectory();
      for (const file of isFolder ? await readdir(path) : ['']) {
        const each = join(path, file);
        await writeFile(each, this.#rewriteFile(name, each, await readFile(each, 'utf8')));
      }
    }
  }

  /** Also stops a service that has exited. */
  async startService(name: string): Promise<void> {
    await this.#mount(name);
    const service = this.#service(name);
    const command = (service.command ?? []).map((word) => {
      const rewritten = this.#rewrite(name, word);
      return this.#hasSmallDemo ? rewritten.replace(/(?<=^--(?:rate|subscribers|topics)=\d+)0$/, '') : rewritten;
    });
    this.#children.set(name, new Child({ ...(await this.#program(name, service, command)), cwd: root }));
  }

  /**
   * The command of a container: the entry point of an image that is built here, or a program that this machine also
   * has.
   */
  async #program(
    name: string,
    service: Service,
    command: readonly string[],
  ): Promise<{ command: [string, ...string[]]; env: Record<string, string> }> {
    const env = { PATH: process.env['PATH'] ?? '' };
    if (service.build !== undefined) {
      const dockerfile = typeof service.build === 'string' ? 'Dockerfile' : service.build.dockerfile;
      const last = stagesOf(await readFile(join(root, dockerfile), 'utf8')).at(-1);
      const [, ...entrypoint] = last === undefined ? [] : (execForm(last, 'ENTRYPOINT') ?? []);
      return {
        command: [process.execPath, ...entrypoint, ...command],
        env: { ...env, ...(nodesOf(this.compose).includes(name) ? this.#nodeEnvironment(name, service) : {}) },
      };
    }
    const place = (port: number): string => String(this.#port(name, port));
    const [first = '', ...args] = command;
    // Creates the Redis Cluster.
    if (first === 'sh') return { command: [first, ...args], env };
    if (first === 'redis-server') {
      const own = ['--port', place(6_379), '--bind', '127.0.0.1', '--dir', this.#path(name, '/data')];
      const bus = args.includes('--cluster-enabled') ? ['--cluster-port', String(await findFreePort())] : [];
      return { command: [first, ...args, ...own, ...bus], env };
    }
    switch (name) {
      case 'balancer':
        // The image adds -db, which keeps haproxy in the foreground.
        return { command: [findProgram('haproxy') ?? 'haproxy', '-db', ...command.slice(1)], env };
      case 'prometheus':
        // The entry point of the image is the program.
        return { command: ['prometheus', ...command, `--web.listen-address=${this.address(name, 9_090)}`], env };
      default:
        throw new Error(`topology.ts does not know how to start ${name} as a process.`);
    }
  }

  #nodeEnvironment(name: string, service: Service): Record<string, string> {
    const said = nodeEnvironment(service, this.#files.dockerfile);
    const { port, adminPort } = loadConfig(said);
    return {
      ...Object.fromEntries(Object.entries(said).map(([key, value]) => [key, this.#rewrite(name, value)])),
      FANFARE_HOST: '127.0.0.1',
      FANFARE_ADMIN_HOST: '127.0.0.1',
      FANFARE_PORT: String(this.#port(name, port)),
      FANFARE_ADMIN_PORT: String(this.#port(name, adminPort)),
      ...this.#env,
    };
  }
}
