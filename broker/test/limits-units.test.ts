import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { Addresses, isNetwork, Networks } from '../src/limits/addresses.js';
import { Ledger, type Spend } from '../src/limits/ledger.js';
import { readOrigins } from '../src/limits/origins.js';
import { reserveShare } from '../src/limits/shared-bucket.js';
import { type Admission, Subjects } from '../src/limits/subjects.js';
import { TokenBucket } from '../src/limits/token-bucket.js';
import type { Log } from '../src/observe/log.js';
import { until } from './wait.js';

describe('a token bucket', () => {
  it('gives its whole content at once, then as much as its rate allows', () => {
    const bucket = new TokenBucket(10, 20, 0);
    for (let taken = 0; taken < 20; taken++) expect(bucket.take(1, 0)).toBe(true);
    expect(bucket.take(1, 0)).toBe(false);
    expect(bucket.take(1, 99)).toBe(false);
    expect(bucket.take(1, 100)).toBe(true);
    expect(bucket.take(1, 100)).toBe(false);
  });

  it('holds no more than its burst, however long it is not used', () => {
    const bucket = new TokenBucket(10, 20, 0);
    expect(bucket.take(20, 3_600_000)).toBe(true);
    expect(bucket.take(1, 3_600_000)).toBe(false);
  });

  it('gives an amount larger than its size when it is full, and then refills the debt', () => {
    const bucket = new TokenBucket(10, 20, 0);
    expect(bucket.take(50, 0)).toBe(true);
    expect(bucket.take(1, 3_000)).toBe(false);
    expect(bucket.take(1, 3_100)).toBe(true);
  });

  it('returns when more is available, with a later time for each further caller', () => {
    const bucket = new TokenBucket(10, 20, 0);
    expect(bucket.delayMs(5, 0)).toBe(0);
    bucket.take(20, 0);
    expect([1, 1, 1].map((amount) => bucket.delayMs(amount, 0))).toEqual([100, 200, 300]);
    expect(bucket.delayMs(2, 50)).toBe(450);
    // Each caller returns at its time, and finds enough.
    expect([100, 200, 300].map((at) => bucket.take(1, at))).toEqual([true, true, true]);
    expect(bucket.take(2, 500)).toBe(true);
    // Those times have passed, and reserve nothing any more.
    expect(bucket.delayMs(1, 590)).toBeCloseTo(10);
    bucket.take(20, 60_000);
    expect(bucket.delayMs(1, 60_000)).toBe(100);
  });

  it('returns no time more than ten minutes ahead', () => {
    const bucket = new TokenBucket(10, 20, 0);
    bucket.take(20, 0);
    const delays = Array.from({ length: 10_000 }, () => bucket.delayMs(1, 0));
    expect(Math.max(...delays)).toBe(600_000);
    bucket.take(20, 3_600_000);
    expect(bucket.delayMs(1, 3_600_000)).toBe(100);
  });
});

/** Collects log lines: `event`, and its fields. */
function logOf(lines: object[]): Pick<Log, 'warn'> {
  return { warn: (fields: object) => void lines.push(fields) };
}

describe('the address of a client', () => {
  const trusted = new Networks(['10.0.0.0/8', '127.0.0.2', '2001:db8:1::/48']);
  const addresses = new Addresses(trusted, 10, logOf([]));

  it.each([
    ['of the socket if it is not a trusted proxy, whatever it claims', '192.0.2.1', '198.51.100.7', '192.0.2.1'],
    ['the last one that is not a proxy', '10.0.0.1', '203.0.113.9, 198.51.100.7, 10.2.3.4', '198.51.100.7'],
    ['not one that the client has invented', '10.0.0.1', '127.0.0.1, 198.51.100.7', '198.51.100.7'],
    ['behind an IPv6 proxy', '2001:db8:1::5', '2001:DB8:9::1', '2001:db8:9::1'],
    // Found by `npm run fuzz -- --target addresses`: ::ffff: is IPv4 only if 32 bits follow.
    ['an IPv6 address that only begins like IPv4', '::ffff:1', '', '::ffff:1'],
    ['another such IPv6 address', '10.0.0.1', '::ffff:0:198.51.100.7', '::ffff:0:198.51.100.7'],
    ['IPv4 in hexadecimal', '::ffff:c633:6407', '', '198.51.100.7'],
    ['IPv4, also if mapped to IPv6', '::ffff:10.0.0.1', '::ffff:198.51.100.7', '198.51.100.7'],
    ['IPv4 in the form of uWebSockets', '0000:0000:0000:0000:0000:ffff:0a00:0001', '198.51.100.7', '198.51.100.7'],
    ['without a port', '10.0.0.1', '198.51.100.7:50000', '198.51.100.7'],
    ['without a port behind another proxy with a port', '10.0.0.1', '198.51.100.7:1, 10.2.3.4:2', '198.51.100.7'],
    ['without brackets', '10.0.0.1', '[2001:db8:9::1]', '2001:db8:9::1'],
    ['without brackets and port', '10.0.0.1', '[2001:db8:9::1]:50000', '2001:db8:9::1'],
    ['without quotes', '10.0.0.1', '"[2001:db8:9::1]:50000"', '2001:db8:9::1'],
    ['without a zone', '10.0.0.1', 'fe80::1%eth0', 'fe80::1'],
    ['without all of these', '10.0.0.1', ' "[::ffff:198.51.100.7%1]:50000" ', '198.51.100.7'],
  ])('is the right one: %s', (_, remote, forwardedFor, address) => {
    expect(addresses.clientOf(remote, forwardedFor)).toEqual({ address, unnamed: null });
  });

  it.each([
    ['says nothing', '10.0.0.1', '', '10.0.0.1', 'missing'],
    ['names only proxies', '10.0.0.1', '10.2.3.4, 10.5.6.7', '10.2.3.4', 'missing'],
    ['is on this machine and says nothing', '127.0.0.2', '', '127.0.0.2', 'missing'],
    ['writes a word', '10.0.0.1', 'unknown', '10.0.0.1', 'unreadable'],
    ['writes nothing behind what its client claims', '10.0.0.1', '198.51.100.7,', '10.0.0.1', 'unreadable'],
    ['writes a name', '10.0.0.1', '198.51.100.7, host.example:443', '10.0.0.1', 'unreadable'],
    ['writes half of the brackets', '10.0.0.1', '[2001:db8:9::1', '10.0.0.1', 'unreadable'],
    ['writes half of the quotes', '10.0.0.1', '"198.51.100.7', '10.0.0.1', 'unreadable'],
    ['writes no address', '10.0.0.1', '198.51.100.256:80', '10.0.0.1', 'unreadable'],
    ['wrote that to another proxy', '10.0.0.1', '198.51.100.7, unknown, 10.2.3.4', '10.2.3.4', 'unreadable'],
  ])('belongs to a proxy that %s, and the node counts this', (_, remote, forwardedFor, address, unnamed) => {
    expect(addresses.clientOf(remote, forwardedFor)).toEqual({ address, unnamed });
    expect(addresses.of(remote, forwardedFor)).toMatchObject({ key: address });
  });

  it('that no proxy names is logged once for each kind', () => {
    const lines: object[] = [];
    const logged = new Addresses(trusted, 10, logOf(lines));
    for (const header of ['', '198.51.100.7:80', 'unknown', '', 'garbage', '10.2.3.4']) logged.of('10.0.0.1', header);
    expect(lines).toEqual([
      { event: 'clientAddressUnknown', kind: 'missing', proxy: '10.0.0.1' },
      { event: 'clientAddressUnknown', kind: 'unreadable', proxy: '10.0.0.1' },
    ]);
  });

  it('behind an untrusted proxy on this machine is ignored, and that is logged once', () => {
    const lines: object[] = [];
    const logged = new Addresses(trusted, 10, logOf(lines));
    for (const header of ['', '198.51.100.7', '198.51.100.8']) expect(logged.of('127.0.0.1', header)).toBeNull();
    expect(lines).toEqual([{ event: 'proxyNotTrusted', proxy: '127.0.0.1' }]);
  });

  it('of IPv6 counts by its /64', () => {
    const keyOf = (address: string): string | undefined => addresses.of(address, '')?.key;
    const one = keyOf('2001:db8:9:1::1');
    expect(one).toBe('2001:db8:9:1::/64');
    expect(keyOf('2001:db8:9:1:ffff::2')).toBe(one);
    expect(keyOf('2001:0db8:0009:0001:0000:0000:0000:0003')).toBe(one);
    // Found by `npm run fuzz -- --target addresses`: the last 32 bits may be in IPv4 notation.
    expect(keyOf('2001:db8:9:1:0:0:192.0.2.1')).toBe(one);
    expect(keyOf('::a:b:c:d:192.0.2.1')).toBe('0:0:a:b::/64');
    expect(keyOf('2001:db8:9:2::1')).not.toBe(one);
  });

  it('of this machine is not counted, unless a proxy reports it as the address of its client', () => {
    for (const client of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) {
      expect(addresses.of(client, '')).toBeNull();
      expect(addresses.of('10.0.0.1', client)).not.toBeNull();
    }
  });

  it('is forgotten when it has no connection, and may then connect as often as any other', () => {
    const address = addresses.of('192.0.2.1', '');
    if (address === null) throw new Error('The address is not counted.');
    const now = performance.now();
    expect(address.handshakes.take(10, now)).toBe(true);
    expect(address.handshakes.take(1, now)).toBe(false);
    address.connections++;
    addresses.forgetIdle(now + 5_000);
    expect(addresses.of('192.0.2.1', '')).toBe(address);
    address.connections--;
    address.handshakes.take(5, now + 5_000);
    addresses.forgetIdle(now + 5_000);
    expect(addresses.of('192.0.2.1', '')).toBe(address);
    addresses.forgetIdle(now + 6_000);
    expect(addresses.of('192.0.2.1', '')).not.toBe(address);
  });
});

describe('a network', () => {
  it.each(['10.0.0.0/8', '192.0.2.1', '2001:db8::/32', '::1'])('may be %s', (text) => {
    expect(isNetwork(text)).toBe(true);
  });

  it.each(['', '10.0.0.0/33', '10.0.0/8', 'proxy', '2001:db8::/129', '10.0.0.0/8/8', '10.0.0.0/'])(
    'cannot be "%s"',
    (text) => expect(isNetwork(text)).toBe(false),
  );
});

describe('allowed origins', () => {
  const read = (text: string) => {
    const wrong: string[] = [];
    const origins = readOrigins(text, (sentence) => wrong.push(sentence));
    return { origins, wrong };
  };

  it('are compared exactly', () => {
    const { origins, wrong } = read('https://app.example.com, http://localhost:3000');
    expect(wrong).toEqual([]);
    expect(origins).toEqual(new Set(['https://app.example.com', 'http://localhost:3000']));
    expect(read('*').origins).toBe('any');
  });

  it('may belong to apps', () => {
    const apps = [
      'capacitor://localhost',
      'ionic://localhost',
      'tauri://localhost',
      'http://tauri.localhost',
      'file://',
    ];
    const { origins, wrong } = read([...apps, 'app://shop.example:1'].join(','));
    expect(wrong).toEqual([]);
    expect(origins).toEqual(new Set([...apps, 'app://shop.example:1']));
  });

  const rewrite =
    'at origin 1: it is not in the form that browsers send. Use location.origin of the page: lower case, no default port, and nothing after the host and port.';

  it.each([
    ['https://app.example.com/', rewrite],
    ['https://App.example.com', rewrite],
    ['https://a.example:443', rewrite],
    ['https://ada:hush@a.example', rewrite],
    ['Capacitor://LocalHost/', rewrite],
    ['https://*.example.com', 'at origin 1: it is a pattern. List each origin.'],
    ['app.example.com', 'at origin 1: it is not an origin such as https://app.example.com.'],
    [
      'null',
      'at origin 1: it is null, the origin of sandboxed pages and local files. It cannot be allowed. Apps that load their page from a file send file://.',
    ],
    ['tauri://', 'at origin 1: it is not an origin such as https://app.example.com or capacitor://localhost.'],
    ['capacitor:localhost', 'at origin 1: it is not an origin such as https://app.example.com.'],
    ['file:///app/index.html', 'at origin 1: it is a file. Apps send file://, so write file://.'],
    [
      'wss://a.example',
      'at origin 1: it is the address of a node. Use the origin of the page that connects, such as https://app.example.com.',
    ],
    ['https://a.example,*', 'at origin 2: it is * next to other origins. Use * alone, or remove it.'],
    ['https://a.example,,https://b.example', 'at origin 2: it is empty. Separate origins with single commas.'],
  ])('cannot be %s', (text, sentence) => {
    expect(read(text).wrong).toEqual([sentence]);
  });
});

/** In tenths of a second; 0 if it is admitted. */
const tenths = (admission?: Admission): number => {
  if (admission === undefined || admission === 'undecided') throw new Error('The result is undecided.');
  return admission === 'admitted' ? 0 : Math.round(admission.retryAfterMs / 100);
};

describe('a subject', () => {
  const limits = {
    maxConnectionsPerSubject: 2,
    publishRate: 1,
    publishBytesRate: 100,
    commandRate: 1,
    maxSubscriptions: 3,
    newTopicsPerHour: 3_600,
    historyBytesPerHour: 3_600_000,
  };

  it('has a maximum number of connections, and is forgotten with the last one', async () => {
    const subjects = new Subjects(limits, null);
    const first = await subjects.join('ada');
    expect(await subjects.join('ada')).toBe(first);
    expect(await subjects.join('ada')).toBeNull();
    expect(await subjects.join('bob')).not.toBeNull();
    if (first === null) throw new Error('The connection was not admitted.');
    subjects.leave(first);
    expect(await subjects.join('ada')).toBe(first);
  });

  it('is remembered after it has disconnected until its budget is full again', async () => {
    const subjects = new Subjects(limits, null);
    const subject = await subjects.join('ada');
    const now = performance.now();
    if (subject === null) throw new Error('The connection was not admitted.');
    expect([1, 2, 3].map(() => tenths(subject.admitPublication(10, true, now)))).toEqual([0, 0, 10]);
    subjects.leave(subject);
    subjects.forgetIdle(now + 500);
    expect(await subjects.join('ada')).toBe(subject);
    expect(tenths(subject.admitPublication(10, true, now + 500))).toBeGreaterThan(0);
    subjects.leave(subject);
    subjects.forgetIdle(now + 60_000);
    expect(subjects.size).toBe(0);
  });

  it('named like a property of objects is a subject like others', async () => {
    const subjects = new Subjects(limits, null);
    for (const name of ['__proto__', 'constructor', 'toString']) expect((await subjects.join(name))?.name).toBe(name);
    expect(subjects.size).toBe(3);
  });

  it('publishes as much as its limits in number and bytes allow', async () => {
    const subject = await new Subjects(limits, null).join('ada');
    const now = performance.now();
    expect([1, 2, 3].map(() => tenths(subject?.admitPublication(10, false, now)))).toEqual([0, 0, 10]);
    // A publication larger than the bucket is accepted once, and delays the next ones.
    expect(subject?.admitPublication(500, false, now + 1_100)).toBe('admitted');
    // Neither bucket is charged if only one of the two has enough.
    expect(tenths(subject?.admitPublication(1, false, now + 3_100))).toBe(10);
    expect(subject?.admitPublication(1, false, now + 5_200)).toBe('admitted');
  });

  it('publishes only its hourly bytes to topics with history, and more to other topics', async () => {
    const subject = await new Subjects({ ...limits, historyBytesPerHour: 36 }, null).join('ada');
    const now = performance.now();
    expect(subject?.admitPublication(30, true, now)).toBe('admitted');
    expect(subject?.admitPublication(10, true, now)).toEqual({ limit: 'historyBytes', retryAfterMs: 400_000 });
    expect(subject?.admitPublication(10, false, now)).toBe('admitted');
    // The refused publication is not charged anywhere.
    expect(subject?.admitPublication(10, true, now + 400_001)).toBe('admitted');
  });

  it('begins as many topics an hour as its limit allows', async () => {
    const subject = await new Subjects({ ...limits, newTopicsPerHour: 2 }, null).join('ada');
    if (subject === null) throw new Error('The connection was not admitted.');
    subject.onTopicBegun();
    expect(subject.mayBeginTopic(performance.now())).toBe(true);
    // Begun by publications that were on their way together: the excess becomes debt.
    subject.onTopicBegun();
    subject.onTopicBegun();
    const now = performance.now();
    expect(subject.mayBeginTopic(now)).toBe(false);
    const { limit, retryAfterMs } = subject.refuseTopic(now);
    expect(limit).toBe('newTopics');
    // Rounded up: the clock of a process that has run for long is less precise.
    expect([600_000, 600_001]).toContain(retryAfterMs);
    expect(subject.mayBeginTopic(now + 1_800_000)).toBe(false);
    expect(subject.mayBeginTopic(now + 3_600_000)).toBe(true);
  });

  it('pays for a long answer of a history with further commands', async () => {
    const subject = await new Subjects({ ...limits, commandRate: 10, maxSubscriptions: 0 }, null).join('ada');
    if (subject === null) throw new Error('The connection was not admitted.');
    const admitted = (nowMs: number): number => {
      let count = 0;
      while (subject.admitCommand(nowMs) === 'admitted') count++;
      return count;
    };
    subject.onPublicationsRead(65_535);
    subject.onPublicationsRead(262_144);
    const now = performance.now();
    expect(admitted(now)).toBe(16);
    // Answers on their way at the same time: the excess becomes debt.
    subject.onPublicationsRead(20 * 65_536);
    expect(admitted(now + 1_900)).toBe(0);
    expect(admitted(now + 4_100)).toBeGreaterThan(0);
  });

  it('subscribes to all its topics at once when it reconnects', async () => {
    const subject = await new Subjects(limits, null).join('ada');
    const now = performance.now();
    expect(Array.from({ length: 7 }, () => tenths(subject?.admitCommand(now)))).toEqual([0, 0, 0, 0, 0, 10, 20]);
  });
});

describe('a bucket that several nodes share', () => {
  /** The shared bucket, as a store keeps it, without refilling. */
  function wholeOf(left: number) {
    const whole = { left, reported: [] as number[], isAway: false };
    const spend: Spend = async (spendings) => {
      if (whole.isAway) throw new Error('The store is unavailable.');
      return spendings.map(({ amount }) => {
        whole.reported.push(amount);
        whole.left -= amount;
        return whole.left;
      });
    };
    return { whole, spend };
  }

  /** A local copy of the bucket at one node. */
  function copyOf(spend: Spend, perSecond: number, burst: number) {
    const ledger = new Ledger(spend);
    const bucket = ledger.open({ name: 'b', perSecond, burst }, performance.now());
    /** Takes like a node, which waits if it must ask the others. */
    const take = async (amount = 1): Promise<boolean> => {
      if (!bucket.has(amount, performance.now())) return false;
      if (bucket.asksFirst(amount)) {
        await new Promise<void>((resolve) => ledger.onceAnswered(resolve));
        return take(amount);
      }
      bucket.charge(amount, performance.now());
      return true;
    };
    return { bucket, take };
  }

  it('gives nothing before the store has answered', async () => {
    const { spend } = wholeOf(-5);
    const { bucket, take } = copyOf(spend, 0.001, 20);
    expect(bucket.asksFirst(1)).toBe(true);
    expect(await take()).toBe(false);
  });

  it('gives a reserve at once, asks the store before it gives more, and so gives everything available', async () => {
    const { whole, spend } = wholeOf(100);
    const { bucket, take } = copyOf(spend, 0.001, 100);
    expect(await take()).toBe(true);
    for (let taken = 1; taken < 10; taken++) {
      expect(bucket.asksFirst(1)).toBe(false);
      bucket.charge(1, performance.now());
    }
    expect(bucket.asksFirst(1)).toBe(true);
    let taken = 10;
    while (await take()) taken++;
    expect(taken).toBe(100);
    await until('the store knows the spending', () => whole.left === 0);
    expect(whole.reported.length).toBeLessThan(25);
    expect(bucket.isForgettable(performance.now())).toBe(true);
  });

  it('gives one item that is larger than the reserve without asking, and asks before the next', async () => {
    const { spend } = wholeOf(100);
    const { bucket, take } = copyOf(spend, 0.001, 100);
    expect(await take()).toBe(true);
    await until('the store knows the spending', () => bucket.isForgettable(performance.now()));
    expect(bucket.asksFirst(60)).toBe(false);
    bucket.charge(60, performance.now());
    expect(bucket.asksFirst(1)).toBe(true);
  });

  it('reports spending to the store afterwards, even if there are no further requests', async () => {
    const { whole, spend } = wholeOf(1_000);
    const { bucket, take } = copyOf(spend, 0.001, 1_000);
    expect(await take()).toBe(true);
    expect(bucket.isForgettable(performance.now())).toBe(false);
    await until('the store knows the spending', () => whole.left === 999);
    await until('the copy has the answer', () => bucket.isForgettable(performance.now()));
  });

  it('gives the tokens that other nodes have left, and owes excess tokens', async () => {
    const { whole, spend } = wholeOf(20);
    const { bucket, take } = copyOf(spend, 0.001, 20);
    expect(await take()).toBe(true);
    await until('the store knows the spending', () => bucket.isForgettable(performance.now()));
    // Another node takes nearly everything.
    whole.left = 1;
    expect([await take(), await take()]).toEqual([true, true]);
    await until('the store knows the spending', () => whole.left === -1);
    await until('the copy has the answer', () => bucket.isForgettable(performance.now()));
    expect(bucket.has(1, performance.now())).toBe(false);
  });

  it('refills while idle, also for items larger than its current content', async () => {
    const { whole, spend } = wholeOf(20);
    const { bucket, take } = copyOf(spend, 10, 20);
    expect(await take(15)).toBe(true);
    await until('the store knows the spending', () => whole.left === 5);
    await until('the copy has the answer', () => bucket.isForgettable(performance.now()));
    expect(bucket.has(20, performance.now())).toBe(false);
    expect(bucket.has(20, performance.now() + 2_000)).toBe(true);
  });

  it('is local to this node while the store is unavailable', async () => {
    const { whole, spend } = wholeOf(0);
    whole.isAway = true;
    const { bucket, take } = copyOf(spend, 0.001, 20);
    let taken = 0;
    while (await take()) taken++;
    expect(taken).toBe(20);
    // Another copy would be full: only this node knows its spending.
    await until('the report has failed', () => !bucket.needsReport);
    expect(bucket.isForgettable(performance.now())).toBe(false);
    expect(bucket.isForgettable(performance.now() + 20_000_000)).toBe(true);
  });

  it('never gives more than its rate, one burst, and a reserve or one item for each node', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    try {
      const strategy = fc.record({
        nodes: fc.integer({ min: 1, max: 8 }),
        amount: fc.constantFrom(1, 4, 30),
        /** For each round: how long the subject is idle, and which nodes it then uses up, how many times. */
        turns: fc.array(
          fc.record({ silentMs: fc.constantFrom(0, 1, 20, 150, 2_000, 9_000), who: fc.nat(255), times: fc.nat(40) }),
          { maxLength: 40 },
        ),
        answerMs: fc.constantFrom(0, 3, 80),
      });
      const run = async ({
        nodes,
        amount,
        turns,
        answerMs,
      }: typeof strategy extends fc.Arbitrary<infer T> ? T : never) => {
        const [perSecond, burst] = [10, 20];
        const startedAt = performance.now();
        let [left, at, given] = [burst, startedAt, 0];
        const spend: Spend = async ([spending]) => {
          await new Promise((resolve) => setTimeout(resolve, answerMs));
          left = Math.min(burst, left + ((performance.now() - at) * perSecond) / 1_000) - (spending?.amount ?? 0);
          at = performance.now();
          await new Promise((resolve) => setTimeout(resolve, answerMs));
          return [left];
        };
        const copies = Array.from({ length: nodes }, () => copyOf(spend, perSecond, burst));
        const bound = () =>
          ((performance.now() - startedAt) * perSecond) / 1_000 +
          burst +
          nodes * Math.max(burst * reserveShare, amount);
        for (const { silentMs, who, times } of turns) {
          await vi.advanceTimersByTimeAsync(silentMs);
          const bursts = copies
            .filter((_, node) => (who & (1 << node)) !== 0)
            .map(async ({ take }) => {
              for (let time = 0; time < times && (await take(amount)); time++) given += amount;
            });
          await vi.advanceTimersByTimeAsync(20 * answerMs + 1);
          void bursts;
          expect(given).toBeLessThanOrEqual(bound());
        }
      };
      await fc.assert(fc.asyncProperty(strategy, run), { numRuns: 300 });
    } finally {
      vi.useRealTimers();
    }
  });
});
