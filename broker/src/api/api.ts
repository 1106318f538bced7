/** Answers the POST requests of a node: tickets for clients that can only set a URL, and revocations. */
import { apiKeySubjectPrefix, isApiKeyId } from '../auth/api-keys.js';
import { AuthError } from '../auth/auth-error.js';
import { type AuthStore, refuseOutdated } from '../auth/auth-store.js';
import type { Authenticator } from '../auth/authenticator.js';
import type { Identity } from '../auth/identity.js';
import {
  forever,
  maxRevocations,
  type RevocationKind,
  type Revocations,
  revocationKinds,
} from '../auth/revocations.js';
import { type Tickets, ticketLifetimeMs } from '../auth/tickets.js';
import type { Api, ApiRequest } from '../connection/http-api.js';
import type { Subjects } from '../limits/subjects.js';
import type { Log } from '../observe/log.js';
import { subjectNameOf } from '../session/authentication.js';

export interface ApiParts {
  readonly authenticator: Pick<Authenticator, 'authenticate' | 'serviceOf' | 'isApiKey'>;
  readonly revocations: Revocations;
  readonly tickets: Tickets;
  readonly store: AuthStore;
  readonly subjects: Subjects;
  readonly counters: { ticketsIssued: number };
  readonly log: Log;
  /** Called for an error that is a bug. */
  onBug(error: unknown): void;
}

/** The longest possible subject, token id and name of a connection. */
const maxValueBytes = { subject: 128, tokenId: 512, connection: 64 } as const satisfies Record<RevocationKind, number>;

type Answer = Awaited<ReturnType<Api['answer']>>;

/** The request is refused. */
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

  constructor(private readonly parts: ApiParts) {}

  isService(token: string): boolean {
    const identity = this.parts.authenticator.serviceOf(token);
    return identity !== null && !this.parts.revocations.has(identity, '');
  }

  async answer(path: string, request: ApiRequest): Promise<Answer> {
    try {
      return path === '/v1/tickets' ? await this.#issueTicket(request) : await this.#revoke(request);
    } catch (error) {
      return refusal(error, this.parts.onBug);
    }
  }

  async #issueTicket({ token }: ApiRequest): Promise<Answer> {
    refuseOutdated(this.parts.store);
    const identity = await this.#identify(token);
    if (!identity.isService && !(await this.#isWithinRate(identity))) {
      throw new ApiError('429 Too Many Requests', 'rateLimited', 'Rate limit exceeded. Slow down.');
    }
    const ticket = await this.parts.tickets.issue(token as string);
    this.parts.counters.ticketsIssued++;
    return { status: '201 Created', body: { ticket, expiresInMs: ticketLifetimeMs } };
  }

  async #isWithinRate(identity: Identity): Promise<boolean> {
    const subject = this.parts.subjects.named(subjectNameOf(identity));
    for (;;) {
      const admission = subject.admitCommand(performance.now());
      if (admission !== 'undecided') return admission === 'admitted';
      await new Promise<void>((resolve) => subject.onceDecided(resolve));
    }
  }

  /** Works without a current revocation list too: revoking must not depend on Redis. */
  async #revoke({ token, body }: ApiRequest): Promise<Answer> {
    const { isAdmin, subject: by } = await this.#identify(token);
    if (!isAdmin)
      throw new ApiError('403 Forbidden', 'notPermitted', 'This request requires an API key with "admin": true.');
    const { log, store, revocations } = this.parts;
    const { kind, value } = readRevocation(body);
    const revocation = revocations.create(kind, value, Date.now());
    // API keys of this node can always be revoked: one of them may have filled the list.
    const hasRoom = revocations.size < maxRevocations || revocations.known(revocation) !== undefined;
    if (!hasRoom && !(kind === 'subject' && this.parts.authenticator.isApiKey(value))) {
      const sentence = `The limit of ${revocations.size} revocations is reached. Lower maxLifetimeSeconds of the issuers, so that revocations expire sooner.`;
      throw new ApiError('503 Service Unavailable', 'overloaded', sentence);
    }
    const until = revocation.untilMs === forever ? null : new Date(revocation.untilMs).toISOString();
    const fields = { event: 'revoked', by, kind, until } as const;
    try {
      await store.revoke(revocation);
    } catch (error) {
      log.warn(
        { ...fields, isConfirmed: false },
        `${by} revoked a ${kind}, but Redis has not confirmed it yet. Retrying.`,
      );
      throw error;
    }
    log.info({ ...fields, isConfirmed: true }, `${by} revoked a ${kind}.`);
    return { status: '202 Accepted', body: {} };
  }

  async #identify(token: string | null): Promise<Identity> {
    if (token === null) {
      throw new ApiError(
        '401 Unauthorized',
        'unauthenticated',
        'Send "Authorization: Bearer" with a token or API key.',
      );
    }
    const identity = await this.parts.authenticator.authenticate(token);
    if (this.parts.revocations.has(identity, '')) throw new AuthError('invalidToken', 'The token was revoked.');
    return identity;
  }
}

function readRevocation(body: string): { readonly kind: RevocationKind; readonly value: string } {
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
  if (Object.hasOwn(request, 'forSeconds')) {
    throw wrong('Remove forSeconds. A revocation lasts until the revoked tokens have expired.');
  }
  const [entry, ...others] = Object.entries(request) as [string, unknown][];
  const kind: RevocationKind | undefined = revocationKinds.find((name) => name === entry?.[0]);
  if (entry === undefined || kind === undefined || others.length > 0) {
    throw wrong(`Give exactly one of ${revocationKinds.join(', ')}.`);
  }
  const [, value] = entry;
  const most = maxValueBytes[kind];
  if (typeof value !== 'string' || value === '' || Buffer.byteLength(value) > most) {
    throw wrong(`${kind} must be a string of 1 to ${most} bytes.`);
  }
  if (
    kind === 'subject' &&
    value.startsWith(apiKeySubjectPrefix) &&
    !isApiKeyId(value.slice(apiKeySubjectPrefix.length))
  ) {
    throw wrong(
      `No API key can have this name. Write "${apiKeySubjectPrefix}" and 1 to 64 characters of A-Z a-z 0-9 -.`,
    );
  }
  return { kind, value };
}

function refusal(error: unknown, onBug: (error: unknown) => void): Answer {
  if (error instanceof ApiError) return answerOf(error.status, error.code, error.message);
  if (error instanceof AuthError) {
    const status = error.code === 'unavailable' ? '503 Service Unavailable' : '401 Unauthorized';
    return answerOf(status, error.code, error.message);
  }
  onBug(error);
  return answerOf('500 Internal Server Error', 'internal', 'Internal error. See the log of the node.');
}

function answerOf(status: string, code: string, message: string): Answer {
  return { status, body: { error: { code, message } } };
}
