/**
 * The admin port: health, readiness, metrics and the console over HTTP. A node has one, or a supervisor for all its
 * workers.
 */
import { createServer, type Server as HttpServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { version } from '../files/package-file.js';
import { metricsType } from '../observe/metrics.js';
import type { Config } from '../settings/config.js';
import { limitSockets } from './admin-sockets.js';
import { consolePage } from './console/console.js';

/** In milliseconds. */
export interface AdminTimeouts {
  /** Time for a request to be complete. After that it is answered 408 and closed. */
  readonly requestMs: number;
  /** How long a client may leave an answer unread before its socket is closed. */
  readonly unreadMs: number;
}

const defaultTimeouts: AdminTimeouts = { requestMs: 5_000, unreadMs: 10_000 };

interface AdminSettings {
  readonly adminHost: string;
  readonly adminPort: number;
}

/** Whether the node accepts subscriptions and acknowledged publications, and why. */
export interface Readiness {
  readonly isReady: boolean;
  readonly reason: string;
}

/** The content of `node.json`, for the console. */
interface About {
  readonly node: string;
  /** Where clients connect. */
  readonly clientPort: number;
  readonly isTls: boolean;
  readonly hasRedis: boolean;
  readonly asksForTokens: boolean;
}

export interface AdminSources {
  about(): About;
  /** A sentence about a worker that hangs; null if everything responds. */
  stuck(): Promise<string | null>;
  readiness(): Promise<Readiness>;
  /** In Prometheus' text format. */
  metrics(): Promise<string>;
}

/** Collects it from the settings. */
export function aboutOf(
  { nodeName, tlsCertFile, redisUrl, auth }: Pick<Config, 'nodeName' | 'tlsCertFile' | 'redisUrl' | 'auth'>,
  clientPort: number,
): About {
  const asksForTokens = auth !== null && auth !== 'none';
  return { node: nodeName, clientPort, isTls: tlsCertFile !== null, hasRedis: redisUrl !== null, asksForTokens };
}

export class Admin {
  private constructor(private readonly http: HttpServer) {}

  static start(
    { adminHost, adminPort }: AdminSettings,
    sources: AdminSources,
    { requestMs, unreadMs }: AdminTimeouts = defaultTimeouts,
  ): Promise<Admin> {
    const limits = { headersTimeout: requestMs, requestTimeout: requestMs, connectionsCheckingInterval: requestMs / 5 };
    const http = createServer(limits, (request, response) => {
      const path = (request.url ?? '/').split('?')[0] ?? '/';
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.setHeader('Allow', 'GET, HEAD');
        return answer(response, 405, 'text/plain; charset=utf-8', 'Only GET and HEAD are supported.\n');
      }
      respond(path, response, sources).catch((error: Error) => {
        answer(response, 500, 'text/plain; charset=utf-8', `${error.message}\n`);
      });
    });
    limitSockets(http);
    http.setTimeout(unreadMs);
    return new Promise((resolve, reject) => {
      http.once('error', ({ code }: NodeJS.ErrnoException) => {
        reject(
          new Error(
            `Cannot listen on admin port ${adminPort} (${code}). The port is in use, or this machine does not have the address in FANFARE_ADMIN_HOST. Change FANFARE_ADMIN_PORT or FANFARE_ADMIN_HOST.`,
          ),
        );
      });
      http.listen(adminPort, adminHost, () => resolve(new Admin(http)));
    });
  }

  get port(): number {
    return (this.http.address() as AddressInfo).port;
  }

  close(): Promise<void> {
    this.http.closeAllConnections();
    return new Promise((resolve) => this.http.close(() => resolve()));
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
    // Healthy means that the event loop runs: a failure of Redis must not make Kubernetes restart nodes.
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
    // For HEAD, Node.js sends no body, and the length only if it is set here.
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(body);
}
