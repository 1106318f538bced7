/** Answers the POST requests of a node: tickets for clients that can only set a URL, and revocations. */
import { ReplyError } from '@fanfare/protocol';
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
import type { Exchange } from '../http/exchange.js';
import { type HttpContext, tokenOf } from '../http/http-context.js';
import { Problem, problemOf, problemOfRefusal } from '../http/problem.js';
import { parseJson } from '../http/publication.js';
import type { Operation, Route } from '../http/route.js';
import { object } from '../http/schemas.js';
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
}

/** The longest possible subject, token id and name of a connection. */
const maxValueBytes = { subject: 128, tokenId: 512, connection: 64 } as const satisfies Record<RevocationKind, number>;

/** Longest body of a request, in bytes. */
const maxApiBytes = 4_096;

export class NodeApi {
  constructor(private readonly parts: ApiParts) {}

  routes(context: HttpContext): readonly Route[] {
    const route = (
      path: string,
      operation: Route['operation'],
      status: string,
      answer: (token: string | null, body: Buffer) => Promise<object>,
    ): Route => ({
      method: 'post',
      path,
      operation,
      handle: (exchange) => this.#receive(exchange, context, status, answer),
    });
    return [
      route('/v1/tickets', ticketsOperation, '201 Created', (token) => this.issueTicket(token)),
      route('/v1/revocations', revocationsOperation, '202 Accepted', (token, body) => this.revoke(token, body)),
    ];
  }

  #receive(
    exchange: Exchange,
    { policy }: Pick<HttpContext, 'policy'>,
    status: string,
    answer: (token: string | null, body: Buffer) => Promise<object>,
  ): void {
    const token = tokenOf(exchange);
    let isService = false;
    const judgement = policy.judgePost(exchange.requester, () => {
      isService = token !== null && this.#isService(token);
      return isService;
    });
    if ('status' in judgement) return exchange.refuse(problemOfRefusal(judgement));
    const onBody = (body: Uint8Array): void => {
      answer(token, Buffer.from(body)).then(
        (members) => exchange.answer(status, JSON.stringify(members)),
        (error: unknown) =>
          exchange.fail(
            error instanceof AuthError ? problemOf(new ReplyError(error.code, error.message), false) : error,
          ),
      );
    };
    exchange.readBody(maxApiBytes, judgement.address, isService, { onBody });
  }

  #isService(token: string): boolean {
    const identity = this.parts.authenticator.serviceOf(token);
    return identity !== null && !this.parts.revocations.has(identity, '');
  }

  /** Rejects with Problem or AuthError. */
  async issueTicket(token: string | null): Promise<{ readonly ticket: string; readonly expiresInMs: number }> {
    refuseOutdated(this.parts.store);
    const identity = await this.#identify(token);
    if (!identity.isService && !(await this.#isWithinRate(identity))) {
      throw new Problem('rateLimited', 'Rate limit exceeded. Slow down.');
    }
    const ticket = await this.parts.tickets.issue(token as string);
    this.parts.counters.ticketsIssued++;
    return { ticket, expiresInMs: ticketLifetimeMs };
  }

  async #isWithinRate(identity: Identity): Promise<boolean> {
    const subject = this.parts.subjects.named(subjectNameOf(identity));
    for (;;) {
      const admission = subject.admitCommand(performance.now());
      if (admission !== 'undecided') return admission === 'admitted';
      await new Promise<void>((resolve) => subject.onceDecided(resolve));
    }
  }

  /**
   * Works without a current revocation list too: revoking must not depend on Redis. Rejects with Problem or AuthError.
   */
  async revoke(token: string | null, body: Uint8Array): Promise<object> {
    const { isAdmin, subject: by } = await this.#identify(token);
    if (!isAdmin) throw new Problem('notPermitted', 'This request requires an API key with "admin": true.');
    const { log, store, revocations } = this.parts;
    const { kind, value } = readRevocation(body);
    const revocation = revocations.create(kind, value, Date.now());
    // API keys of this node can always be revoked: one of them may have filled the list.
    const hasRoom = revocations.size < maxRevocations || revocations.known(revocation) !== undefined;
    if (!hasRoom && !(kind === 'subject' && this.parts.authenticator.isApiKey(value))) {
      const sentence = `The limit of ${revocations.size} revocations is reached. Lower maxLifetimeSeconds of the issuers, so that revocations expire sooner.`;
      throw new Problem('overloaded', sentence);
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
    return {};
  }

  async #identify(token: string | null): Promise<Identity> {
    if (token === null) {
      throw new Problem('unauthenticated', 'Send "Authorization: Bearer" with a token or API key.');
    }
    const identity = await this.parts.authenticator.authenticate(token);
    if (this.parts.revocations.has(identity, '')) throw new AuthError('invalidToken', 'The token was revoked.');
    return identity;
  }
}

function readRevocation(body: Uint8Array): { readonly kind: RevocationKind; readonly value: string } {
  const wrong = (sentence: string): Problem => new Problem('malformed', sentence);
  const request = parseJson(body);
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

const ticketsOperation: Operation = {
  id: 'createTicket',
  summary: 'Create a ticket',
  description: `A ticket stands for the token of the request, once, within ${ticketLifetimeMs / 1_000} s: for clients that can only set a URL. Send it as ?ticket= of /ws or /v1/events.`,
  answers: {
    201: {
      description: 'The ticket.',
      content: {
        'application/json': {
          schema: object(['ticket', 'expiresInMs'], { ticket: { type: 'string' }, expiresInMs: { type: 'integer' } }),
        },
      },
    },
  },
  problems: ['contentTooLarge', 'requestTimeout', 'rateLimited', 'overloaded', 'unavailable'],
};

const revocationsOperation: Operation = {
  id: 'revoke',
  summary: 'Revoke a subject, a token or a connection',
  description: 'Takes effect on all nodes within a second. Requires an API key with "admin": true.',
  body: {
    description: 'Exactly one of the members.',
    content: {
      'application/json': {
        schema: {
          type: 'object',
          minProperties: 1,
          maxProperties: 1,
          properties: Object.fromEntries(
            revocationKinds.map((kind) => [kind, { type: 'string', minLength: 1, maxLength: maxValueBytes[kind] }]),
          ),
        },
        example: { subject: 'ada' },
      },
    },
  },
  answers: {
    202: { description: 'Revoked.', content: { 'application/json': { schema: { type: 'object' } } } },
  },
  problems: [
    'malformed',
    'notPermitted',
    'contentTooLarge',
    'requestTimeout',
    'rateLimited',
    'overloaded',
    'unavailable',
  ],
};
