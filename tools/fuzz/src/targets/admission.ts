/** The input that a node parses before it trusts a client: requests to revoke, tickets, tokens. */

import { createHmac } from 'node:crypto';
import { createLog } from '@fanfare/broker';
import { NodeApi } from '@fanfare/broker/internal/api/api';
import { AuthError } from '@fanfare/broker/internal/auth/auth-error';
import { Authenticator } from '@fanfare/broker/internal/auth/authenticator';
import { MemoryAuthStore } from '@fanfare/broker/internal/auth/memory-auth-store';
import { actions, Permissions } from '@fanfare/broker/internal/auth/permissions';
import { forever, type Revocation, Revocations } from '@fanfare/broker/internal/auth/revocations';
import { isTicket, Tickets } from '@fanfare/broker/internal/auth/tickets';
import { Problem } from '@fanfare/broker/internal/http/problem';
import { Subjects } from '@fanfare/broker/internal/limits/subjects';
import { isToken, type Topic } from '@fanfare/protocol';
import { Finding, hold, holdSentence, list, type Target, textOf, texts } from '../target.js';

/** How long a revocation of anything but an API key is remembered. */
const rememberedMs = 86_400_000;
let revoked: Revocation[] = [];
const store = new MemoryAuthStore((news) => revoked.push(...news));
const tickets = new Tickets(store);
const admin = {
  subject: 'admin',
  tokenId: null,
  issuedAtMs: null,
  expiresAtMs: null,
  acceptedUntilMs: null,
  issuer: null,
  signedWith: null,
  permissions: new Permissions({}),
};
const nodeApi = new NodeApi({
  authenticator: {
    serviceOf: () => null,
    isApiKey: () => false,
    authenticate: async () => ({ ...admin, isService: true, messageIdGroup: null, isAdmin: true }),
  },
  revocations: new Revocations(rememberedMs),
  tickets,
  store,
  subjects: new Subjects(
    {
      ...{ maxConnectionsPerSubject: 1, publishRate: 1, publishBytesRate: 1, commandRate: 1, maxSubscriptions: 1 },
      ...{ newTopicsPerHour: 1, historyBytesPerHour: 1 },
    },
    null,
  ),
  counters: { ticketsIssued: 0 },
  log: createLog({ logLevel: 'silent', logFormat: 'json', nodeName: 'fuzz' }),
});

export const revocations: Target = {
  about: 'bodies of POST /v1/revocations',
  seeds: texts(
    '{"subject":"ada"}',
    '{"tokenId":"7","forSeconds":60}',
    '{"connection":"a-1"}',
    '[]',
    'null',
    '{"forSeconds":1}',
  ),
  words: list('"subject": "tokenId": "connection": "forSeconds": "__proto__": \\ud800 1.5 key: null ""'),
  files: ['broker/dist/api/api'],
  // Longest body of a request (connection/server.ts).
  maxBytes: 4_096,
  async run(input) {
    revoked = [];
    const before = Date.now();
    const problem = await nodeApi.revoke('fk_a_b', input).then(
      () => null,
      (error: unknown) => {
        if (error instanceof Problem) return error;
        throw error;
      },
    );
    if (problem === null) {
      const [revocation, ...others] = revoked;
      if (revocation === undefined || others.length > 0)
        throw new Finding(`${revoked.length} revocations of one request.`);
      const { kind, value, untilMs, atMs } = revocation;
      hold(value !== '' && Buffer.byteLength(value) <= 512, () => `A value of ${Buffer.byteLength(value)} bytes.`);
      const expectedMs = kind === 'subject' && value.startsWith('key:') ? forever : atMs + rememberedMs;
      hold(atMs >= before && untilMs === expectedMs, () => `From ${atMs} to ${untilMs}.`);
      return;
    }
    hold(problem.code === 'malformed' && revoked.length === 0, () => `The code is ${problem.code}.`);
    holdSentence(problem.message);
  },
};

export const ticket: Target = {
  about: 'tickets',
  seeds: texts('A'.repeat(43), 'fk_orders_secret', '', '-_'.repeat(21), 'ä'.repeat(43)),
  words: ['=', '-', '_', 'A'.repeat(42), '\ud83d\ude00'],
  files: ['broker/dist/auth/tickets', 'broker/dist/auth/memory-auth-store'],
  maxBytes: 8_192,
  async run(input) {
    const text = textOf(input);
    await holdRefused(() => tickets.redeem(text));
    if (!isToken(text)) return;
    const issued = await tickets.issue(text);
    hold(isTicket(issued), () => `The ticket is ${issued}.`);
    hold((await tickets.redeem(issued)) === text, () => 'Another token comes back.');
    await holdRefused(() => tickets.redeem(issued));
  },
};

async function holdRefused(ask: () => Promise<unknown>): Promise<void> {
  try {
    await ask();
  } catch (error) {
    if (!(error instanceof AuthError)) throw error;
    return holdSentence(error.message);
  }
  throw new Finding('It is accepted.');
}

const secret = 'fuzz-fuzz-fuzz-fuzz-fuzz-fuzz-fuzz';
const authenticator = new Authenticator(
  {
    issuers: [
      {
        issuer: 'https://id.example',
        audience: null,
        keys: [{ algorithm: 'HS256', kid: null, key: new TextEncoder().encode(secret) }],
        jwksUrl: null,
        algorithms: [],
        clockSkewSeconds: 5,
        // So that the initial tokens, which are the same in any year, are valid.
        maxLifetimeSeconds: 10_000_000_000,
      },
    ],
    apiKeys: [
      {
        id: 'orders',
        hash: Buffer.alloc(32),
        grants: {},
        permissions: new Permissions({}),
        isAdmin: true,
        messageIdGroup: null,
      },
    ],
    hook: null,
    files: [],
  },
  createLog({ logLevel: 'silent', logFormat: 'json', nodeName: 'fuzz' }),
  { jwksFetches: 0, jwksFailures: 0 },
  () => {},
);

/**
 * The target signs `header NUL claims`, so that mutations reach the code after the signature check. Without NUL it is a
 * whole token.
 */
const claims = `{"iss":"https://id.example","sub":"ada","exp":4102444800,"fanfare":{"publish":["chat.>"],"subscribe":["chat.*"]}}`;

export const token: Target = {
  about: 'tokens',
  seeds: texts(
    `{"alg":"HS256"}\u0000${claims}`,
    `{"alg":"none"}\u0000${claims}`,
    'fk_orders_secret',
    'a.b.c',
    '..',
  ).concat(
    texts(
      `{"alg":"HS256","crit":["b64"]}\u0000${claims}`,
      `{"alg":"HS256","kid":1}\u0000${claims}`,
      `{"alg":"HS256"}\u0000${claims.replace('{', '{"iat":1,"nbf":1,"jti":"7",')}`,
      `{"alg":"HS256"}\u0000${claims.replace('{', '{"aud":"x",')}`,
      `{"alg":"HS256"}\u0000${claims.replace('4102444800', '1')}`,
    ),
  ),
  words: list('"alg": "none" "RS256" "kid":"1" "crit":["b64"] "b64":false "exp": "nbf": "iat": "aud":').concat([
    '"jti":"1"',
    '"fanfare":',
    '"publish":[',
    '"presence":',
    '"*"',
    '">"',
    'fk_',
    '-1',
    '1e400',
    'null',
    '"__proto__":',
  ]),
  files: [
    'broker/dist/auth/authenticator',
    'broker/dist/auth/jwt',
    'broker/dist/auth/api-keys',
    'broker/dist/auth/permissions',
  ],
  maxBytes: 8_192,
  async run(input) {
    const [header = '', body, ...others] = Buffer.from(input).toString('latin1').split('\u0000');
    const isSigned = body !== undefined && others.length === 0;
    try {
      const identity = await authenticator.authenticate(isSigned ? sign(header, body) : header);
      hold(isSigned, () => 'A token without a signature is accepted.');
      hold(identity.subject !== '' && !identity.isAdmin, () => 'Claims make an admin, or nobody.');
      hold(Buffer.byteLength(identity.subject) <= 128, () => `A subject of ${identity.subject.length} characters.`);
      for (const action of actions) identity.permissions.allows(action, 'chat.a' as Topic);
      hold((identity.expiresAtMs ?? 0) > Date.now() - 10_000, () => `It is over since ${identity.expiresAtMs}.`);
    } catch (error) {
      if (!(error instanceof AuthError)) throw error;
      holdSentence(error.message);
    }
  },
};

function sign(header: string, body: string): string {
  const signed = [header, body].map((part) => Buffer.from(part, 'latin1').toString('base64url')).join('.');
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}
