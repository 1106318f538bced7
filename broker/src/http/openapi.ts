/** `GET /v1/openapi.json`: the document of all routes, made from their table. */
import { httpStatusOf } from '@fanfare/protocol';
import { type Exchange, notStored, ok } from './exchange.js';
import type { ProblemCode } from './problem.js';
import type { Body, Operation, Route } from './route.js';
import { problemSchema } from './schemas.js';

/** Codes that every route with authentication may answer. */
const tokenProblems: readonly ProblemCode[] = ['unauthenticated', 'invalidToken', 'tokenExpired'];

/** A bug, in any route. */
const bug: ProblemCode = 'internal';

/** Headers of problems, by status. */
const problemHeaders: Readonly<Record<number, Readonly<Record<string, string>>>> = {
  401: { 'WWW-Authenticate': 'The scheme Bearer, and what is wrong with the token (RFC 6750).' },
  429: { 'Retry-After': 'When to retry, in whole seconds.' },
  503: { 'Retry-After': 'When to retry, in whole seconds.' },
};

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
    handle: (exchange: Exchange) => exchange.answer(ok, text, notStored),
  };
  const text = JSON.stringify(openApiOf([...routes, own], version, isAuthenticated));
  return own;
}

function openApiOf(routes: readonly Route[], version: string, isAuthenticated: boolean): object {
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
    responses[status] = { ...contentOf(answer), ...headersOf(answer.headers) };
  }
  const codes = new Map<number, ProblemCode[]>();
  for (const code of [...problems, ...(isAuthenticated && !isFree ? tokenProblems : []), bug]) {
    const status = httpStatusOf(code);
    codes.set(status, [...(codes.get(status) ?? []), code]);
  }
  for (const [status, names] of codes) {
    const schema = { allOf: [{ $ref: '#/components/schemas/Problem' }], properties: { code: { enum: names } } };
    responses[status] = {
      description: `Problem: ${names.join(', ')}.`,
      ...headersOf(problemHeaders[status]),
      content: { 'application/problem+json': { schema } },
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

function headersOf(headers: Readonly<Record<string, string>> = {}): object {
  const entries = Object.entries(headers).map(([name, description]) => [
    name,
    { description, schema: { type: 'string' } },
  ]);
  return entries.length === 0 ? {} : { headers: Object.fromEntries(entries) };
}

function contentOf({ description, content }: Body): object {
  return Object.keys(content).length === 0 ? { description } : { description, content };
}
