/** `GET /v1/openapi.json`: the document of all routes, made from their table. */
import { httpStatusOf } from '@fanfare/protocol';
import { type Exchange, ok } from './exchange.js';
import type { ProblemCode } from './problem.js';
import type { Body, Operation, Route } from './route.js';
import { problemSchema } from './schemas.js';

/** Codes that every route may answer. */
const commonProblems: readonly ProblemCode[] = ['originNotAllowed', 'internal'];

/** Codes that every route with authentication may answer. */
const tokenProblems: readonly ProblemCode[] = ['unauthenticated', 'invalidToken', 'tokenExpired'];

/** `version`: of the broker. `isAuthenticated`: whether the node requires a token. */
export function openApiRoute(routes: readonly Route[], version: string, isAuthenticated: boolean): Route {
  const own: Route = {
    method: 'get',
    path: '/v1/openapi.json',
    operation: {
      id: 'openapi',
      summary: 'Read this document',
      description: 'OpenAPI 3.1, made from the routes of the node.',
      answers: {
        200: { description: 'The document.', content: { 'application/json': { schema: { type: 'object' } } } },
      },
      problems: [],
      isFree: true,
    },
    handle: (exchange: Exchange) => exchange.answer(ok, text),
  };
  const text = JSON.stringify(openApiOf([...routes, own], version, isAuthenticated));
  return own;
}

export function openApiOf(routes: readonly Route[], version: string, isAuthenticated: boolean): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const { method, path, operation } of routes) {
    paths[path] ??= {};
    (paths[path] as Record<string, object>)[method] = operationOf(operation, isAuthenticated);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Fanfare',
      version,
      description: 'Publish and subscribe over HTTP. The guide is docs/http.md of the repository.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: { Problem: problemSchema },
      securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'A JWT or an API key.' } },
    },
  };
}

function operationOf(operation: Operation, isAuthenticated: boolean): object {
  const { id, summary, description, parameters, body, answers, problems, isFree = false } = operation;
  const responses: Record<string, object> = {};
  for (const [status, answer] of Object.entries(answers)) {
    const headers = Object.entries(answer.headers ?? {}).map(([name, about]) => [
      name,
      { description: about, schema: { type: 'string' } },
    ]);
    responses[status] = {
      ...contentOf(answer),
      ...(headers.length > 0 ? { headers: Object.fromEntries(headers) } : {}),
    };
  }
  const codes = new Map<number, ProblemCode[]>();
  for (const code of [...problems, ...(isFree ? [] : tokenProblems), ...commonProblems]) {
    const status = httpStatusOf(code);
    codes.set(status, [...(codes.get(status) ?? []), code]);
  }
  for (const [status, names] of codes) {
    responses[status] = {
      description: `Problem: ${names.join(', ')}.`,
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    };
  }
  return {
    operationId: id,
    summary,
    description,
    ...(parameters === undefined ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, ...contentOf(body) } }),
    responses,
    security: isAuthenticated && !isFree ? [{ token: [] }] : [],
  };
}

function contentOf({ description, content }: Body): object {
  return Object.keys(content).length === 0 ? { description } : { description, content };
}
