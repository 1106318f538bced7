/** The files in proxies/ with the real programs, edited as an operator does: addresses and ports. */
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Child, findFreePort } from '@fanfare/local-cluster';
import { root } from './image.js';
import { findProgram } from './programs.js';

/** Two nodes on different loopback addresses, with the same ports. */
export const proxiedHosts = ['127.0.0.11', '127.0.0.12'] as const;

/**
 * Timeouts for nodes that do not respond. On a busy machine, healthy nodes may need longer; killed nodes refuse
 * connections at once.
 */
const answerTimeouts =
  /(?<=(?:proxy_connect_timeout|proxy_next_upstream_timeout|health_timeout|dial_timeout|timeout (?:connect|check)) )\d+s/g;

/** Longer than the 2 s after which these nodes ping, and much shorter than in production. */
export const idleTimeoutSeconds = 4;

interface Proxy {
  readonly file: string;
  /** Its timeouts for idle WebSockets and event streams, which become {@link idleTimeoutSeconds}. */
  readonly idleTimeouts: RegExp;
  /** Whether it checks the health of the nodes. */
  readonly hasChecks: boolean;
  command(file: string, folder: string): [string, ...string[]];
  /** Changes that let a program share this machine with others. */
  adapt(text: string, folder: string): string;
}

export const proxies = {
  nginx: {
    file: 'nginx.conf',
    idleTimeouts: /(?<=proxy_(?:read|send)_timeout )\d+s/g,
    hasChecks: false,
    command: (file, folder) => [findProgram('nginx') ?? '', '-p', folder, '-e', 'stderr', '-c', file],
    adapt: (text, folder) => {
      const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
      const paths = kinds.map((kind) => `${kind}_temp_path ${join(folder, kind)};`).join(' ');
      return text
        .replace('worker_processes auto;', `daemon off; master_process off; pid ${join(folder, 'pid')};`)
        .replace(/worker_rlimit_nofile .*/, '')
        .replace('worker_connections 20000', 'worker_connections 1000')
        .replace('http {', `http { access_log off; ${paths}`);
    },
  },
  caddy: {
    file: 'Caddyfile',
    idleTimeouts: /$^/g,
    hasChecks: true,
    command: (file) => [findProgram('caddy') ?? '', 'run', '--config', file, '--adapter', 'caddyfile'],
    adapt: (text) => `{\n\tadmin off\n\tauto_https off\n}\n${text}`,
  },
  haproxy: {
    file: 'haproxy.cfg',
    idleTimeouts: /(?<=timeout tunnel )1h|(?<=set-timeout server )120s/g,
    hasChecks: true,
    command: (file) => [findProgram('haproxy') ?? '', '-db', '-f', file],
    adapt: (text) => text.replace('maxconn 20000', 'maxconn 1000'),
  },
} as const satisfies Readonly<Record<string, Proxy>>;

export type ProxyName = keyof typeof proxies;

interface RunningProxy {
  readonly port: number;
  readonly child: Child;
}

/** Starts a program with its edited file. `ports`: of the nodes. `folder`: for its files. */
export async function startProxy(
  name: ProxyName,
  ports: { readonly port: number; readonly adminPort: number },
  folder: string,
  edit = (text: string): string => text,
): Promise<RunningProxy> {
  const { file, idleTimeouts, command, adapt }: Proxy = proxies[name];
  const port = await findFreePort();
  const text = edit(await readFile(join(root, 'proxies', file), 'utf8'))
    .replaceAll('10.0.0.', '127.0.0.')
    .replaceAll('8080', String(ports.port))
    .replaceAll('8081', String(ports.adminPort))
    .replace(/(?<=^\s*(?:listen |bind :|:|https:\/\/127.0.0.1:))(?:80|443)\b/gm, String(port))
    .replace(answerTimeouts, '60s')
    .replace(idleTimeouts, `${idleTimeoutSeconds}s`);
  const own = await mkdtemp(join(folder, 'proxy-'));
  await writeFile(join(own, file), adapt(text, own));
  return { port, child: new Child({ command: command(join(own, file), own), env: { ...process.env, HOME: own } }) };
}
