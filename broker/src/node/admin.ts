/**
 * What operators and Kubernetes ask over HTTP, on a port of its own: alive? ready? how much? Answered by a node that is alone, and by
 * a supervisor for its workers.
 */

import { readFileSync } from 'node:fs';
import { createServer, type Server as HttpServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { metricsType } from '../observe/metrics.js';
import type { Config } from '../settings/config.js';
import { boundSockets } from './admin-sockets.js';
import { consolePage } from './console/console.js';

/** Time for a request to be complete, in milliseconds. Later it is answered 408 and closed. */
const requestMs = 5_000;

/** How long a client may leave an answer unread, in milliseconds, before its socket is closed. */
const unreadMs = 10_000;

const serverOptions = { headersTimeout: requestMs, requestTimeout: requestMs, connectionsCheckingInterval: 1_000 };

export interface AdminSettings {
  readonly adminHost: string;
  readonly adminPort: number;
}

/** Whether the node would take a subscription and an acknowledged publication, and why. */
export interface Readiness {
  readonly isReady: boolean;
  readonly reason: string;
}

/** What the console has to know; `node.json`. */
export interface About {
  readonly node: string;
  /** Where clients connect. */
  readonly clientPort: number;
  readonly isTls: boolean;
  readonly hasRedis: boolean;
  readonly asksForTokens: boolean;
}

export interface AdminSources {
  about(): About;
  /** What does not react any more and will not mend by itself, in a sentence; null where all is alive. */
  stuck(): Promise<string | null>;
  readiness(): Promise<Readiness>;
  /** In Prometheus' text format. */
  metrics(): Promise<string>;
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  readonly version: string;
};

/** What a node's settings say of it. */
export function aboutOf(
  { nodeName, tlsCertFile, redisUrl, auth }: Pick<Config, 'nodeName' | 'tlsCertFile' | 'redisUrl' | 'auth'>,
  clientPort: number,
): About {
  const asksForTokens = auth !== null && auth !== 'none';
  return { node: nodeName, clientPort, isTls: tlsCertFile !== null, hasRedis: redisUrl !== null, asksForTokens };
}

export class Admin {
  readonly #http: HttpServer;

  private constructor(http: HttpServer) {
    this.#http = http;
  }

  static start({ adminHost, adminPort }: AdminSettings, sources: AdminSources): Promise<Admin> {
    const http = createServer(serverOptions, (request, response) => {
      const path = (request.url ?? '/').split('?')[0] ?? '/';
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.setHeader('Allow', 'GET, HEAD');
        return answer(response, 405, 'text/plain; charset=utf-8', 'Only GET and HEAD are supported.\n');
      }
      respond(path, response, sources).catch((error: Error) => {
        answer(response, 500, 'text/plain; charset=utf-8', `${error.message}\n`);
      });
    });
    boundSockets(http);
    http.setTimeout(unreadMs);
    return new Promise((resolve, reject) => {
      http.once('error', ({ code }: NodeJS.ErrnoException) => {
        reject(
          new Error(
            `Cannot listen on port ${adminPort} of the address in FANFARE_ADMIN_HOST for /healthz, /readyz and /metrics (${code}): the port is in use, or this machine does not have the address. Change FANFARE_ADMIN_PORT or FANFARE_ADMIN_HOST.`,
          ),
        );
      });
      http.listen(adminPort, adminHost, () => resolve(new Admin(http)));
    });
  }

  get port(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  close(): Promise<void> {
    this.#http.closeAllConnections();
    return new Promise((resolve) => this.#http.close(() => resolve()));
  }
}

async function respond(path: string, response: ServerResponse, sources: AdminSources): Promise<void> {
  switch (path) {
    case '/': {
      const { html, policy } = consolePage();
      response.setHeader('Content-Security-Policy', policy);
      return answer(response, 200, 'text/html; charset=utf-8', html);
    }
    case '/node.json':
      return answer(response, 200, 'application/json', `${JSON.stringify({ ...sources.about(), version })}\n`);
    // Alive means that the event loop turns: Redis must not make Kubernetes restart a node.
    case '/healthz': {
      const reason = await sources.stuck();
      const body = JSON.stringify(reason === null ? { status: 'ok' } : { status: 'stuck', reason });
      return answer(response, reason === null ? 200 : 503, 'application/json', `${body}\n`);
    }
    case '/readyz': {
      const { isReady, reason } = await sources.readiness();
      const body = JSON.stringify({ status: isReady ? 'ready' : 'not ready', reason });
      return answer(response, isReady ? 200 : 503, 'application/json', `${body}\n`);
    }
    case '/metrics':
      return answer(response, 200, metricsType, await sources.metrics());
    default:
      return answer(
        response,
        404,
        'text/plain; charset=utf-8',
        'Not found. Available: / (the console), /node.json, /healthz, /readyz and /metrics.\n',
      );
  }
}

function answer(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'Content-Type': type,
    // Node does not send the body of an answer to HEAD, nor its length unless it is set here.
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(body);
}
