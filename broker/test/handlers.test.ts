import { type OutgoingReply, parseTopic, type Topic } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import type { Caller } from '../src/handlers/caller.js';
import { handle } from '../src/handlers/index.js';
import type { Parts } from '../src/handlers/parts.js';
import { sharedScope } from '../src/relay/scoped-id.js';

describe('a bug in a handler', () => {
  it('causes the error "internal" and a log line, is counted, and does not close the connection', async () => {
    const replies: OutgoingReply[] = [];
    const caller: Caller = {
      whoIs: () => ({ connection: null, subject: null }),
      subscriptions: 0,
      idScope: sharedScope,
      expiresInMs: null,
      allows: () => true,
      refresh: async () => undefined,
      isSubscribed: () => false,
      room: 1,
      histories: 0,
      trackHistory: (reading) => reading,
      publishOrder: null,
      expectRetry: () => undefined,
      payer: null,
      join: (topic, since) => ({ isCurrent: true, ready: parts.relay.subscribe(topic, since) }),
      attend: () => undefined,
      leave: () => undefined,
      reply: (reply) => replies.push(reply),
    };
    const bugs: unknown[] = [];
    const bug = new TypeError('x is not a function');
    const fail = (): never => {
      throw bug;
    };
    const parts: Parts = {
      relay: {
        state: 'connected',
        fault: null,
        nodes: 1,
        spread: null,
        redisOutputBufferBytes: 0,
        shards: [],
        flushWindowMs: 0,
        hasHistory: () => true,
        hasPublished: () => false,
        publish: fail,
        subscribe: async () => fail(),
        subscribeResult: fail,
        unsubscribe: fail,
        history: async () => fail(),
        flush: async () => undefined,
        close: async () => undefined,
        topicInfo: () => Promise.reject(new Error('not used')),
        topics: () => Promise.reject(new Error('not used')),
        retire: async () => undefined,
      },
      limits: { maxSubscriptions: 1 },
      greeting: { node: 'n', pingIntervalMs: 1, maxFrameBytes: 1 },
      counters: {
        publicationsIn: 0,
        commandErrors: 0,
        commandsUnavailable: 0,
        publicationsUnconfirmed: 0,
        publicationsOutOfTurn: 0,
        commandsNotPermitted: 0,
      },
      onBug: (error) => bugs.push(error),
      onRefused: null,
    };
    const topic = parseTopic('t') as Topic;
    const bytes = new Uint8Array(0);
    const payload = { encoding: 'json', bytes, start: 0, end: 0, key: null, remove: false } as const;
    handle({ type: 'publish', id: 1, topic, messageId: null, repeat: false, ...payload }, caller, parts);
    handle({ type: 'subscribe', id: 2, topic, since: null }, caller, parts);
    await expect.poll(() => replies.length).toBe(2);
    const answer = { type: 'error', code: 'internal', retryable: true };
    expect(replies).toMatchObject([
      { id: 1, ...answer },
      { id: 2, ...answer },
    ]);
    expect(bugs).toEqual([bug, bug]);
    expect(parts.counters.commandErrors).toBe(2);
  });
});
