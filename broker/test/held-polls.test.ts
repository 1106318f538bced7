/** Long polling of a topic's history. The node keeps nothing for a client between two requests. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fastTopics, shortTimes, startCluster, type TestCluster } from './harness.js';
import { until, within } from './wait.js';

interface Polled {
  readonly status: number;
  readonly next: string | null;
  readonly data: readonly unknown[];
  readonly body: Record<string, unknown> | null;
  readonly headers: Headers;
}

async function poll(
  cluster: TestCluster,
  query: string,
  { node = 0, ...init }: RequestInit & { node?: number } = {},
): Promise<Polled> {
  const url = `http://127.0.0.1:${cluster.node(node).broker.port}/v1/topics/a/publications?${query}`;
  const answer = await fetch(url, init);
  const text = await answer.text();
  const body = text === '' ? null : (JSON.parse(text) as { publications?: { data: unknown }[] });
  return {
    status: answer.status,
    next: answer.headers.get('fanfare-position'),
    data: body?.publications?.map(({ data }) => data) ?? [],
    body: body as Record<string, unknown> | null,
    headers: answer.headers,
  };
}

const held = (cluster: TestCluster, count: number, node = 0): Promise<unknown> =>
  until(`${count} polls are held`, async () => (await cluster.node(node).metric('fanfare_held_polls')) === count);

/** Held, and listening: a publication answers it. */
const listening = (cluster: TestCluster, count: number, node = 0): Promise<unknown> =>
  until('they listen', async () => (await cluster.node(node).metric('fanfare_subscriptions')) === count);

describe('a poll with wait', () => {
  it('is answered by the next publication, and the loop of a shell gets everything once', async () => {
    await using cluster = await startCluster({ nodes: 2 });
    const publisher = await cluster.connect(1);
    const start = await poll(cluster, 'since=now');
    expect([start.status, start.data]).toEqual([200, []]);
    const expected = Array.from({ length: 300 }, (_, index) => index);
    const publishing = (async () => {
      for (const item of expected) await publisher.publish('a', item);
    })();
    const got: unknown[] = [];
    let since = start.next;
    for (let turn = 0; got.length < expected.length; turn++) {
      // Any node can answer any request.
      const page = await poll(cluster, `since=${since}&wait=30`, { node: turn % 2 });
      expect(page.status).toBe(200);
      expect(page.body).toMatchObject({ topic: 'a', recovered: true, next: page.next });
      got.push(...page.data);
      since = page.next;
    }
    await publishing;
    expect(got).toEqual(expected);
  });

  it('that waits gets the same answer as one that comes later', async () => {
    await using cluster = await startCluster();
    const { next } = await poll(cluster, 'since=now');
    const waiting = [poll(cluster, `since=${next}&wait=30`), poll(cluster, 'since=now&wait=30')];
    await held(cluster, 2);
    await listening(cluster, 2);
    const publisher = await cluster.connect();
    await publisher.publish('a', { n: 1 });
    const later = await poll(cluster, `since=${next}`);
    for (const page of await Promise.all(waiting)) expect(page.body).toEqual(later.body);
    await held(cluster, 0);
    expect(await cluster.node().metric('fanfare_subscriptions')).toBe(0);
    expect(later.data).toEqual([{ n: 1 }]);
  });

  it('is answered 204 with its position if nothing is published, and its connection can be used again', async () => {
    await using cluster = await startCluster();
    const { next } = await poll(cluster, 'since=now');
    for (const query of [`since=${next}`, 'since=now', '']) {
      const page = await poll(cluster, `${query}&wait=1`);
      expect([page.status, page.next, page.headers.get('cache-control')]).toEqual([204, next, 'no-store']);
    }
    await held(cluster, 0);
    expect(await cluster.node().metric('fanfare_connections')).toBe(0);
  });

  it('is answered at once if there is something already, with as much as the limit allows', async () => {
    await using cluster = await startCluster();
    const publisher = await cluster.connect();
    for (const item of [1, 2, 3]) await publisher.publish('a', item);
    const first = await poll(cluster, 'wait=30&limit=2');
    expect(first.data).toEqual([1, 2]);
    expect((await poll(cluster, `wait=30&limit=2&since=${first.next}`)).data).toEqual([3]);
  });

  it('respects its limit when several publications arrive together', async () => {
    await using cluster = await startCluster();
    const publisher = await cluster.connect();
    const waiting = poll(cluster, 'since=now&wait=30&limit=2');
    await held(cluster, 1);
    await listening(cluster, 1);
    publisher.post('a', 1, 2, 3);
    const page = await waiting;
    expect(page.data).toEqual([1, 2]);
    expect((await poll(cluster, `since=${page.next}&wait=30`)).data).toEqual([3]);
  });

  it('of a topic without history is refused, and so is one backward', async () => {
    await using cluster = await startCluster({ env: fastTopics });
    expect((await poll(cluster, 'wait=1')).body).toMatchObject({ status: 404, code: 'noHistory' });
    await using kept = await startCluster();
    expect((await poll(kept, 'wait=1&direction=backward')).body).toMatchObject({ status: 400, code: 'malformed' });
  });

  it('is answered with what there is if the topic has a new history', async () => {
    await using cluster = await startCluster();
    const page = await poll(cluster, 'since=another-7&wait=30');
    expect(page.body).toMatchObject({ recovered: false, publications: [] });
    expect(page.next).toMatch(/-0$/);
  });

  it('is forgotten when its client is gone', async () => {
    await using cluster = await startCluster();
    const abort = new AbortController();
    const waiting = poll(cluster, 'since=now&wait=30', { signal: abort.signal }).catch(() => null);
    await held(cluster, 1);
    abort.abort();
    await waiting;
    await held(cluster, 0);
    expect(await cluster.node().metric('fanfare_connections')).toBe(0);
  });

  it('is answered at its own time while the node drains, and continues on another node', async () => {
    await using cluster = await startCluster({
      nodes: 2,
      env: { FANFARE_DRAIN_WINDOW_MS: '1000' },
      times: shortTimes,
    });
    const publisher = await cluster.connect(1);
    await publisher.publish('a', 1);
    // With `now`, a poll that has not begun yet would have no position to answer with.
    const start = await poll(cluster, 'since=now', { node: 1 });
    const waiting = Array.from({ length: 10 }, () => poll(cluster, `since=${start.next}&wait=50`));
    await held(cluster, 10);
    await listening(cluster, 10);
    const drained = cluster.node(0).broker.drain();
    const answers = await within('the polls are answered', Promise.all(waiting));
    for (const { status, headers } of answers) expect([status, headers.get('connection')]).toEqual([204, 'close']);
    await publisher.publish('a', 2);
    for (const { next } of answers)
      expect((await poll(cluster, `since=${next}&wait=30`, { node: 1 })).data).toEqual([2]);
    await within('the node stops', drained);
  });

  it('loses nothing that is published while the node drains, and each answer closes its connection', async () => {
    await using cluster = await startCluster({
      nodes: 2,
      env: { FANFARE_DRAIN_WINDOW_MS: '1000' },
      times: shortTimes,
    });
    const publisher = await cluster.connect(1);
    await publisher.publish('a', 0);
    const start = await poll(cluster, 'since=now', { node: 1 });
    let isOver = false;
    const follow = async (): Promise<unknown[]> => {
      const got: unknown[] = [];
      let [since, node] = [start.next, 0];
      while (!isOver || got.length < published) {
        const page = await poll(cluster, `since=${since}&wait=1`, { node }).catch((error: Error) => {
          // A node that drains accepts no new connections.
          if ((error.cause as { code?: string }).code === 'ECONNREFUSED' && isDraining) return null;
          throw error;
        });
        if (page === null) {
          node = 1;
          continue;
        }
        if (node === 0 && isDraining) expect(page.headers.get('connection')).toBe('close');
        // A node that drains refuses new polls.
        if (page.status === 503) node = 1;
        else {
          expect([200, 204]).toContain(page.status);
          got.push(...page.data);
          since = page.next;
        }
      }
      return got;
    };
    let published = 0;
    let isDraining = false;
    const followers = Array.from({ length: 5 }, follow);
    await listening(cluster, 5);
    isDraining = true;
    const drained = cluster
      .node(0)
      .broker.drain()
      .then(() => {
        isOver = true;
      });
    while (!isOver) await publisher.publish('a', ++published);
    for (const got of await within('all have everything', Promise.all(followers))) {
      expect(got).toEqual(Array.from({ length: published }, (_, index) => index + 1));
    }
    await within('the node stops', drained);
  });

  it('counts as a connection of its node', async () => {
    await using cluster = await startCluster({ env: { FANFARE_MAX_CONNECTIONS: '1' } });
    const abort = new AbortController();
    const waiting = poll(cluster, 'since=now&wait=30', { signal: abort.signal }).catch(() => null);
    await held(cluster, 1);
    const refused = await poll(cluster, 'since=now&wait=30');
    expect(refused.body).toMatchObject({ status: 503, code: 'overloaded', retryable: true });
    expect(refused.headers.get('retry-after')).toBe('10');
    abort.abort();
    await waiting;
  });

  it('needs a token that permits it, and ends when that is revoked', async () => {
    const [reader, writer] = [
      'fk_reader_Vd2rV1cW0e5vG8hJ3kM6nP9qS2tU5wX8',
      'fk_writer_Vd2rV1cW0e5vG8hJ3kM6nP9qS2tU5wX8',
    ];
    const keyOf = (id: string, key: string, permissions: object, admin = false): object => ({
      id,
      sha256: createHash('sha256').update(key).digest('hex'),
      permissions,
      admin,
    });
    const apiKeys = [keyOf('reader', reader, { history: ['a'] }), keyOf('writer', writer, { publish: ['a'] }, true)];
    await using cluster = await startCluster({ env: { FANFARE_AUTH: JSON.stringify({ apiKeys }) } });
    const as = (key: string): RequestInit => ({ headers: { Authorization: `Bearer ${key}` } });
    expect((await poll(cluster, 'wait=1')).status).toBe(401);
    expect((await poll(cluster, 'wait=1', as(writer))).body).toMatchObject({ status: 403, code: 'notPermitted' });
    const waiting = poll(cluster, 'since=now&wait=30', as(reader));
    await listening(cluster, 1);
    const revoked = await fetch(`http://127.0.0.1:${cluster.node().broker.port}/v1/revocations`, {
      method: 'POST',
      body: JSON.stringify({ subject: 'key:reader' }),
      ...as(writer),
    });
    expect(revoked.status).toBe(202);
    expect((await waiting).body).toMatchObject({ status: 401, code: 'invalidToken' });
  });
});
