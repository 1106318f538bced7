/** The table of HTTP routes: what the server answers, and what the OpenAPI document describes. */
import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import { endpointPath } from '@fanfare/protocol';
import type { HandshakePolicy } from '../connection/handshake-policy.js';
import { Exchange, type ExchangeContext } from './exchange.js';
import { Problem, type ProblemCode, problemOfRefusal } from './problem.js';

/** A JSON Schema, as OpenAPI 3.1 uses it. */
export type Schema = Readonly<Record<string, unknown>>;

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required?: boolean;
  readonly description: string;
  readonly schema: Schema;
  readonly example?: unknown;
}

export interface Body {
  readonly description: string;
  /** By media type. */
  readonly content: Readonly<Record<string, { readonly schema?: Schema; readonly example?: unknown }>>;
}

/** The documentation of a route. */
export interface Operation {
  readonly id: string;
  readonly summary: string;
  readonly description: string;
  readonly parameters?: readonly Parameter[];
  readonly body?: Body;
  /** By status. */
  readonly answers: Readonly<Record<number, Body & { readonly headers?: Readonly<Record<string, string>> }>>;
  /** The codes of errors that it may answer, in addition to those of wrong tokens and of a bug. */
  readonly problems: readonly ProblemCode[];
  /** Whether it needs no token. */
  readonly isFree?: boolean;
}

export interface Route {
  readonly method: 'get' | 'post';
  /** With parameters in braces: `/v1/topics/{topic}`. */
  readonly path: string;
  readonly operation: Operation;
  handle(exchange: Exchange): void;
}

/** An app of uWebSockets, as this file needs it. */
type Handler = (response: HttpResponse, request: HttpRequest) => void;
interface App {
  get(path: string, handler: Handler): unknown;
  post(path: string, handler: Handler): unknown;
  head(path: string, handler: Handler): unknown;
  options(path: string, handler: Handler): unknown;
  any(path: string, handler: Handler): unknown;
}

/** Headers that pages of other origins may send. */
const requestHeaders = 'Authorization, Content-Type, Fanfare-Client, Idempotency-Key, Last-Event-ID, traceparent';

/** How long browsers may remember the answer to a preflight, in seconds. Chromium's maximum. */
const preflightSeconds = 7_200;

const notFound = new Problem(
  'notFound',
  `Not found. GET /v1/openapi.json lists the paths; the WebSocket endpoint is ${endpointPath}.`,
);

const stopping = new Problem('unavailable', 'This node is shutting down. Retry to reach another node.');

/** Adds the routes to an app, with HEAD, preflights (OPTIONS), 405 for other methods, and 404 for other paths. */
export function addRoutes(
  app: App,
  routes: readonly Route[],
  context: ExchangeContext,
  policy: Pick<HandshakePolicy, 'judgeOrigin'>,
): void {
  const methodsOf = new Map<string, string[]>();
  for (const { method, path, handle } of routes) {
    const pattern = patternOf(path);
    const name = `${method.toUpperCase()} ${path}`;
    const handlerOf =
      (actual: string): Handler =>
      (response, request) => {
        const exchange = new Exchange(context, name, response, request, actual);
        try {
          if (context.isStopping()) exchange.refuse(stopping);
          else handle(exchange);
        } catch (error) {
          exchange.fail(error);
        }
        exchange.endHandler();
      };
    app[method](pattern, handlerOf(method));
    const methods = methodsOf.get(path) ?? [];
    methodsOf.set(path, methods);
    methods.push(method.toUpperCase());
    if (method === 'get') {
      app.head(pattern, handlerOf('head'));
      methods.push('HEAD');
    }
  }
  app.any('/v1/*', (response, request) => {
    new Exchange(context, 'other', response, request, request.getMethod()).refuse(notFound);
  });
  for (const [path, methods] of methodsOf) {
    const allow = [...methods, 'OPTIONS'].join(', ');
    app.options(patternOf(path), (response, request) => {
      const exchange = new Exchange(context, `OPTIONS ${path}`, response, request, 'options');
      const refusal = policy.judgeOrigin(exchange.header('origin'));
      if (refusal !== null) return exchange.refuse(problemOfRefusal(refusal));
      exchange.answerEmpty('204 No Content', {
        Allow: allow,
        'Access-Control-Allow-Methods': methods.join(', '),
        'Access-Control-Allow-Headers': requestHeaders,
        'Access-Control-Max-Age': String(preflightSeconds),
      });
    });
    app.any(patternOf(path), (response, request) => {
      const method = request.getMethod();
      const exchange = new Exchange(context, path, response, request, method);
      const sentence = `${path} does not accept ${method.toUpperCase()}. It accepts ${methods.join(' and ')}.`;
      exchange.refuse(new Problem('methodNotAllowed', sentence, { headers: { Allow: allow } }));
    });
  }
}

/** The path in the notation of uWebSockets. */
function patternOf(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1');
}
