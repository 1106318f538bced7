/**
 * nginx with Nchan, one worker, messages in its memory; several nodes broadcast through Redis, which stores nothing
 * either.
 */
import { findFreePort } from '@fanfare/local-cluster';
import type { Launcher } from './launcher.js';
import { deployNodes, deployNodesOnRedis, type ServerProcess } from './node-deployment.js';
import { isAccessible, missingProgram, notInstalled, startProgram } from './program.js';

const name = 'nginx';

/** Where packages put it: Debian and Ubuntu, Fedora, Alpine. */
const modules = ['/usr/lib/nginx/modules', '/usr/lib64/nginx/modules', '/usr/share/nginx/modules'].map(
  (folder) => `${folder}/ngx_nchan_module.so`,
);

export const nchan: Launcher = {
  missing: async () =>
    (await missingProgram(name)) ?? ((await findModule()) === null ? notInstalled('The Nchan module of nginx') : null),
  start: ({ nodes }) =>
    nodes === 1 ? deployNodes(nodes, () => startNginx(null)) : deployNodesOnRedis(nodes, startNginx),
};

async function startNginx(redisUrl: string | null): Promise<ServerProcess> {
  const module = await findModule();
  if (module === null) throw new Error(notInstalled('The Nchan module of nginx'));
  const port = await findFreePort();
  return await startProgram({
    name,
    port,
    configuration: (folder) => configure({ port, module, folder, redisUrl }),
    args: (file) => ['-e', 'stderr', '-c', file],
  });
}

async function findModule(): Promise<string | null> {
  for (const module of modules) if (await isAccessible(module)) return module;
  return null;
}

interface Setup {
  readonly port: number;
  readonly module: string;
  readonly folder: string;
  readonly redisUrl: string | null;
}

/**
 * One process does a worker's work and dies as one (`master_process off`). Messages stay in the buffer, which is what
 * subscribers read from: without it Nchan warns of misses. Of Redis' modes `nostore` is the fast one, and `fastpublish`
 * doubles it again.
 */
function configure({ port, module, folder, redisUrl }: Setup): string {
  const pass = redisUrl === null ? '' : 'nchan_redis_pass redis;';
  return `
load_module ${module};
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid ${folder}/nginx.pid;
error_log stderr crit;
events {
  use epoll;
  worker_connections 60000;
  multi_accept on;
}
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  tcp_nodelay on;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_max_body_size 16m;
  client_body_buffer_size 128k;
  client_body_in_single_buffer on;
  nchan_shared_memory_size 256M;
  ${
    redisUrl === null
      ? ''
      : `upstream redis {
    nchan_redis_server ${redisUrl};
    nchan_redis_storage_mode nostore;
    nchan_redis_nostore_fastpublish on;
  }`
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location ~ ^/publish/(.+)$ {
      nchan_publisher http;
      nchan_channel_id $1;
      nchan_message_buffer_length 10;
      nchan_message_timeout 10s;
      ${pass}
    }
    location ~ ^/subscribe/(.+)$ {
      nchan_subscriber websocket eventsource longpoll;
      nchan_channel_id $1;
      nchan_channel_id_split_delimiter ",";
      nchan_subscriber_first_message newest;
      ${pass}
    }
  }
}
`;
}
