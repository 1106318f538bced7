import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { parseTopic, type Topic } from '@fanfare/protocol';
import { pino } from 'pino';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Hook, type HookSettings, type Question } from '../src/auth/hook.js';

const question: Question = {
  event: 'subscribe',
  issuer: 'https://id.test',
  subject: 'ada',
  connection: 'c1',
  topic: parseTopic('chat.1') as Topic,
};
const another = { ...question, subject: 'ben' };
const answered = { isAllowed: false, reason: null, isDown: true };

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A hook whose backend returns these answers, with its log and counters. */
async function hookTo(handler: Handler, settings: Partial<HookSettings> = {}) {
  const server = createServer(handler).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/decide`;
  const lines: string[] = [];
  const counters = { hookRequests: 0, hookFailures: 0 };
  const hook = new Hook(
    { url, events: ['subscribe'], timeoutMs: 5_000, maxConcurrent: 2, whenDown: 'refuse', token: null, ...settings },
    pino({}, { write: (line: string) => void lines.push((JSON.parse(line) as { msg: string }).msg) }),
    counters,
  );
  return { hook, lines, counters, server };
}

const say =
  (body: string, status = 200): Handler =>
  (_, response) =>
    response.writeHead(status).end(body);

describe('a hook', () => {
  it('sends everything that the backend needs to decide, and its token', async () => {
    const asked: unknown[] = [];
    const { hook } = await hookTo(
      async (request, response) => {
        asked.push(request.method, request.url, request.headers.authorization, JSON.parse(await text(request)));
        response.end('{"allow":true}');
      },
      { token: 'between us' },
    );
    expect(await hook.decide(question)).toEqual({ isAllowed: true });
    expect(asked).toEqual([
      'POST',
      '/decide',
      'Bearer between us',
      { event: 'subscribe', issuer: 'https://id.test', subject: 'ada', connection: 'c1', topic: 'chat.1' },
    ]);
  });

  it('refuses with the reason of the backend, shortened to a sentence', async () => {
    const { hook, counters } = await hookTo(say(JSON.stringify({ allow: false, reason: 'x'.repeat(300) })));
    expect(await hook.decide(question)).toEqual({ isAllowed: false, reason: 'x'.repeat(200), isDown: false });
    expect(counters).toEqual({ hookRequests: 1, hookFailures: 0 });
  });

  it('is asked only about its events', async () => {
    const { hook } = await hookTo(say('{"allow":true}'));
    expect(['connect', 'subscribe', 'publish', 'ping'].filter((event) => hook.asksAbout(event))).toEqual(['subscribe']);
  });

  it.each([
    ['an error', say('{"allow":true}', 500), 'returned status 500'],
    ['no JSON', say('yes'), 'returned something that is not JSON'],
    ['something else', say('{"allow":"yes"}'), 'returned neither {"allow":true} nor {"allow":false}'],
    ['null', say('null'), 'returned neither {"allow":true} nor {"allow":false}'],
    ['too much', say(`{"allow":true,"x":"${'x'.repeat(20_000)}"}`), 'returned more than 16384 bytes'],
    [
      'a redirect',
      (_: unknown, response: ServerResponse) => response.writeHead(307, { Location: '/else' }).end(),
      'returned status 307',
    ],
    ['a broken connection', (request: IncomingMessage) => request.socket.destroy(), 'cannot be reached'],
  ] as readonly [string, Handler, string][])('is down if the backend returns %s', async (_, handler, why) => {
    const { hook, lines, counters } = await hookTo(handler);
    expect(await hook.decide(question)).toEqual(answered);
    expect(await hook.decide(question)).toEqual(answered);
    // Logged once, not for each question.
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(why);
    expect(lines[0]).toContain('its requests are refused ("whenDown": "refuse")');
    expect(counters).toEqual({ hookRequests: 2, hookFailures: 2 });
  });

  it('is down if the backend is too slow, or if too many questions are open', async () => {
    const { hook, lines } = await hookTo(() => undefined, { timeoutMs: 50 });
    const first = [hook.decide(question), hook.decide(another)];
    expect(await hook.decide(question)).toEqual(answered);
    expect(await hook.decide({ ...question, subject: 'cleo' })).toEqual(answered);
    expect(lines[0]).toContain('has reached the limit of 2 concurrent requests');
    expect(await Promise.all(first)).toEqual([answered, answered]);
  });

  it('refuses questions beyond its limit, even if it allows requests while it is down', async () => {
    const { hook } = await hookTo(() => undefined, { whenDown: 'allow', timeoutMs: 50 });
    const first = [hook.decide(question), hook.decide(another)];
    expect(await hook.decide({ ...question, subject: 'cleo' })).toEqual(answered);
    expect(await Promise.all(first)).toEqual([{ isAllowed: true }, { isAllowed: true }]);
  });

  it('reserves room for others: one user gets only a part of the questions, but a service may use all', async () => {
    const waiting: ServerResponse[] = [];
    const { hook, lines, counters } = await hookTo((_, response) => void waiting.push(response), { maxConcurrent: 16 });
    const ofAda = Array.from({ length: 4 }, () => hook.decide(question));
    expect(await hook.decide(question)).toEqual(answered);
    const others = ['ben', 'cleo'].map((subject) => hook.decide({ ...question, subject }));
    const ofService = Array.from({ length: 10 }, () =>
      hook.decide({ ...question, issuer: null, subject: 'key:orders' }),
    );
    // The backend is not down because one user sends too much.
    expect([lines, counters.hookFailures]).toEqual([[], 0]);
    expect(await hook.decide({ ...question, subject: 'dan' })).toEqual(answered);
    expect(lines[0]).toContain('has reached the limit of 16 concurrent requests');
    await vi.waitFor(() => expect(waiting).toHaveLength(16));
    for (const response of waiting) response.end('{"allow":true}');
    for (const decision of await Promise.all([...ofAda, ...others, ...ofService]))
      expect(decision.isAllowed).toBe(true);
    const again = hook.decide(question);
    await vi.waitFor(() => expect(waiting).toHaveLength(17));
    waiting.at(-1)?.end('{"allow":true}');
    expect(await again).toEqual({ isAllowed: true });
  });

  it('allows requests while it is down if it is configured to do so', async () => {
    const { hook, lines } = await hookTo(say('', 503), { whenDown: 'allow' });
    expect(await hook.decide(question)).toEqual({ isAllowed: true });
    expect(lines[0]).toContain('its requests are allowed');
  });
});
