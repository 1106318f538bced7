/** What a node answers to POST requests: tickets for those who can only set a URL, revocations for those who may revoke. */

import { AuthError } from '../auth/auth-error.js';
import type { AuthStore } from '../auth/auth-store.js';
import type { Authenticator } from '../auth/authenticator.js';
import type { Identity } from '../auth/identity.js';
import { type Revocation, type RevocationKind, type Revocations, revocationKinds } from '../auth/revocations.js';
import { type Tickets, ticketLifetimeMs } from '../auth/tickets.js';
import type { Api, ApiRequest } from '../connection/server.js';
import { subjectNameOf } from '../connection/session.js';
import type { Subjects } from '../limits/subjects.js';
import type { Log } from '../log.js';

export interface ApiParts {
  readonly authenticator: Authenticator;
  readonly revocations: Revocations;
  readonly tickets: Tickets;
  readonly store: AuthStore;
  readonly subjects: Subjects;
  readonly counters: { ticketsIssued: number };
  readonly log: Log;
  /** Called for an error that is a bug. */
  onBug(error: unknown): void;
}

/** How long a revocation is remembered where the request does not say, in seconds: longer than tokens live. */
const defaultRevocationSeconds = 86_400;
const maxRevocationSeconds = 30 * 86_400;
const maxValueBytes = 512;

type Answer = Awaited<ReturnType<Api['answer']>>;

/** Refuses a request. */
class ApiError extends Error {
  constructor(
    readonly status: string,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export class NodeApi implements Api {
  readonly paths = ['/v1/tickets', '/v1/revocations'];
  readonly #parts: ApiParts;

  constructor(parts: ApiParts) {
    this.#parts = parts;
  }

  async answer(path: string, request: ApiRequest): Promise<Answer> {
    try {
      return path === '/v1/tickets' ? await this.#issueTicket(request) : await this.#revoke(request);
    } catch (error) {
      return refusal(error, this.#parts.onBug);
    }
  }

  async #issueTicket({ token }: ApiRequest): Promise<Answer> {
    const identity = await this.#identify(token);
    if (!identity.isService && !(await this.#affords(identity))) {
      throw new ApiError('429 Too Many Requests', 'rateLimited', 'You send more than you may: slow down.');
    }
    const ticket = await this.#parts.tickets.issue(token as string);
    this.#parts.counters.ticketsIssued++;
    return { status: '201 Created', body: { ticket, expiresInMs: ticketLifetimeMs } };
  }

  async #affords(identity: Identity): Promise<boolean> {
    const subject = this.#parts.subjects.named(subjectNameOf(identity));
    for (;;) {
      const admission = subject.admitCommand(performance.now());
      if (admission !== 'undecided') return admission === 'admitted';
      await new Promise<void>((resolve) => subject.onceDecided(resolve));
    }
  }

  async #revoke({ token, body }: ApiRequest): Promise<Answer> {
    const { isAdmin, subject: by } = await this.#identify(token);
    if (!isAdmin) throw new ApiError('403 Forbidden', 'notPermitted', 'This needs an API key with "admin": true.');
    const { log, store } = this.#parts;
    const revocation = readRevocation(body, Date.now());
    await store.revoke(revocation);
    const { kind, untilMs } = revocation;
    log.info({ event: 'revoked', by, kind, until: new Date(untilMs).toISOString() }, `A ${kind} was revoked by ${by}.`);
    return { status: '202 Accepted', body: {} };
  }

  async #identify(token: string | null): Promise<Identity> {
    if (token === null) {
      throw new ApiError('401 Unauthorized', 'unauthenticated', 'Send "Authorization: Bearer" and a token or API key.');
    }
    const { authenticator, store } = this.#parts;
    if (!store.isCurrent) throw new AuthError('unavailable', 'What is revoked is not known here yet. Try again.');
    const identity = await authenticator.authenticate(token);
    if (this.#parts.revocations.has(identity, '')) throw new AuthError('invalidToken', 'The token was revoked.');
    return identity;
  }
}

function readRevocation(body: string, nowMs: number): Revocation {
  const wrong = (sentence: string): ApiError => new ApiError('400 Bad Request', 'malformed', sentence);
  let request: unknown;
  try {
    request = JSON.parse(body);
  } catch {
    throw wrong('The body must be JSON, such as {"subject":"ada"}.');
  }
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    throw wrong('The body must be a JSON object, such as {"subject":"ada"}.');
  }
  const fields = new Map<string, unknown>(Object.entries(request));
  const { forSeconds = defaultRevocationSeconds } = Object.fromEntries(fields) as { forSeconds?: unknown };
  fields.delete('forSeconds');
  const [entry, ...others] = fields;
  const kind: RevocationKind | undefined = revocationKinds.find((name) => name === entry?.[0]);
  if (entry === undefined || kind === undefined || others.length > 0) {
    throw wrong(`Give one of ${revocationKinds.join(', ')}, and forSeconds if you like.`);
  }
  const [, value] = entry;
  if (typeof value !== 'string' || value === '' || Buffer.byteLength(value) > maxValueBytes) {
    throw wrong(`${kind} must be a text of 1 to ${maxValueBytes} bytes.`);
  }
  if (
    typeof forSeconds !== 'number' ||
    !Number.isInteger(forSeconds) ||
    forSeconds < 1 ||
    forSeconds > maxRevocationSeconds
  ) {
    throw wrong(`forSeconds must be an integer from 1 to ${maxRevocationSeconds}.`);
  }
  return { kind, value, atMs: nowMs, untilMs: nowMs + forSeconds * 1_000 };
}

function refusal(error: unknown, onBug: (error: unknown) => void): Answer {
  if (error instanceof ApiError) return answerOf(error.status, error.code, error.message);
  if (error instanceof AuthError) {
    const status = error.code === 'unavailable' ? '503 Service Unavailable' : '401 Unauthorized';
    return answerOf(status, error.code, error.message);
  }
  onBug(error);
  return answerOf('500 Internal Server Error', 'internal', 'The node failed at this request and has logged why.');
}

function answerOf(status: string, code: string, message: string): Answer {
  return { status, body: { error: { code, message } } };
}
