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
  it('gives what it holds at once, then as much as comes in', () => {
    const bucket = new TokenBucket(10, 20, 0);
    for (let taken = 0; taken < 20; taken++) expect(bucket.take(1, 0)).toBe(true);
    expect(bucket.take(1, 0)).toBe(false);
    expect(bucket.take(1, 99)).toBe(false);
    expect(bucket.take(1, 100)).toBe(true);
    expect(bucket.take(1, 100)).toBe(false);
  });

  it('holds no more than its burst, however long nothing is taken', () => {
    const bucket = new TokenBucket(10, 20, 0);
    expect(bucket.take(20, 3_600_000)).toBe(true);
    expect(bucket.take(1, 3_600_000)).toBe(false);
  });

  it('gives more than it can hold from full, and is paid back', () => {
    const bucket = new TokenBucket(10, 20, 0);
    expect(bucket.take(50, 0)).toBe(true);
    expect(bucket.take(1, 3_000)).toBe(false);
    expect(bucket.take(1, 3_100)).toBe(true);
  });

  it('says when more can be had, to each who asks a later time', () => {
    const bucket = new TokenBucket(10, 20, 0);
    expect(bucket.delayMs(5, 0)).toBe(0);
    bucket.take(20, 0);
    expect([1, 1, 1].map((amount) => bucket.delayMs(amount, 0))).toEqual([100, 200, 300]);
    expect(bucket.delayMs(2, 50)).toBe(450);
    // Each comes when it was told to, and finds enough.
    expect([100, 200, 300].map((at) => bucket.take(1, at))).toEqual([true, true, true]);
    expect(bucket.take(2, 500)).toBe(true);
    // Those times are over, and promise nothing any more.
    expect(bucket.delayMs(1, 590)).toBeCloseTo(10);
    bucket.take(20, 60_000);
    expect(bucket.delayMs(1, 60_000)).toBe(100);
  });

  it('says no time that is further away than ten minutes', () => {
    const bucket = new TokenBucket(10, 20, 0);
    bucket.take(20, 0);
    const delays = Array.from({ length: 10_000 }, () => bucket.delayMs(1, 0));
    expect(Math.max(...delays)).toBe(600_000);
    bucket.take(20, 3_600_000);
    expect(bucket.delayMs(1, 3_600_000)).toBe(100);
  });
});

/** Keeps what is logged: `event`, and what it is about. */
function logOf(lines: object[]): Pick<Log, 'warn'> {
  return { warn: (fields: object) => void lines.push(fields) };
}

describe('the address of a client', () => {
  const trusted = new Networks(['10.0.0.0/8', '127.0.0.2', '2001:db8:1::/48']);
  const addresses = new Addresses(trusted, 10, logOf([]));

  it.each([
    ['of the socket, where that is no trusted proxy, whatever it claims', '192.0.2.1', '198.51.100.7', '192.0.2.1'],
    ['the last one that is no proxy', '10.0.0.1', '203.0.113.9, 198.51.100.7, 10.2.3.4', '198.51.100.7'],
    ['not one that a client made up before it', '10.0.0.1', '127.0.0.1, 198.51.100.7', '198.51.100.7'],
    ['behind a proxy of IPv6', '2001:db8:1::5', '2001:DB8:9::1', '2001:db8:9::1'],
    // Found by `npm run fuzz -- --target addresses`: only with 32 bits behind it is ::ffff: IPv4.
    ['an IPv6 address that only begins like IPv4', '::ffff:1', '', '::ffff:1'],
    ['another of them', '10.0.0.1', '::ffff:0:198.51.100.7', '::ffff:0:198.51.100.7'],
    ['IPv4 in hexadecimal', '::ffff:c633:6407', '', '198.51.100.7'],
    ['IPv4, also in the clothes of IPv6', '::ffff:10.0.0.1', '::ffff:198.51.100.7', '198.51.100.7'],
    ['IPv4, as uWebSockets writes it', '0000:0000:0000:0000:0000:ffff:0a00:0001', '198.51.100.7', '198.51.100.7'],
    ['without a port', '10.0.0.1', '198.51.100.7:50000', '198.51.100.7'],
    ['without a port behind another proxy that has one', '10.0.0.1', '198.51.100.7:1, 10.2.3.4:2', '198.51.100.7'],
    ['without brackets', '10.0.0.1', '[2001:db8:9::1]', '2001:db8:9::1'],
    ['without brackets and a port', '10.0.0.1', '[2001:db8:9::1]:50000', '2001:db8:9::1'],
    ['without quotes', '10.0.0.1', '"[2001:db8:9::1]:50000"', '2001:db8:9::1'],
    ['without a zone', '10.0.0.1', 'fe80::1%eth0', 'fe80::1'],
    ['without all of these', '10.0.0.1', ' "[::ffff:198.51.100.7%1]:50000" ', '198.51.100.7'],
  ])('is that %s', (_, remote, forwardedFor, address) => {
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
  ])('is that of the proxy that %s, and is counted', (_, remote, forwardedFor, address, unnamed) => {
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

  it('behind a proxy on this machine that is not trusted is not believed, and that is logged once', () => {
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
    // Found by `npm run fuzz -- --target addresses`: the last 32 bits may be written as those of IPv4.
    expect(keyOf('2001:db8:9:1:0:0:192.0.2.1')).toBe(one);
    expect(keyOf('::a:b:c:d:192.0.2.1')).toBe('0:0:a:b::/64');
    expect(keyOf('2001:db8:9:2::1')).not.toBe(one);
  });

  it('of this machine is not counted, unless a proxy says that it is the address of its client', () => {
    for (const client of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) {
      expect(addresses.of(client, '')).toBeNull();
      expect(addresses.of('10.0.0.1', client)).not.toBeNull();
    }
  });

  it('is forgotten when it has no connection, and may connect as often as any other', () => {
    const address = addresses.of('192.0.2.1', '');
    if (address === null) throw new Error('It is counted.');
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
    'may not be "%s"',
    (text) => expect(isNetwork(text)).toBe(false),
  );
});

describe('origins', () => {
  const read = (text: string) => {
    const wrong: string[] = [];
    const origins = readOrigins(text, (sentence) => wrong.push(sentence));
    return { origins, wrong };
  };

  it('are exact', () => {
    const { origins, wrong } = read('https://app.example.com, http://localhost:3000');
    expect(wrong).toEqual([]);
    expect(origins).toEqual(new Set(['https://app.example.com', 'http://localhost:3000']));
    expect(read('*').origins).toBe('any');
  });

  it('may be those of apps', () => {
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

/** Tenths of a second; 0 if it is admitted. */
const tenths = (admission?: Admission): number => {
  if (admission === undefined || admission === 'undecided') throw new Error('It is not decided.');
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

  it('has so many connections and no more, and is forgotten with the last', async () => {
    const subjects = new Subjects(limits, null);
    const first = await subjects.join('ada');
    expect(await subjects.join('ada')).toBe(first);
    expect(await subjects.join('ada')).toBeNull();
    expect(await subjects.join('bob')).not.toBeNull();
    if (first === null) throw new Error('It is in.');
    subjects.leave(first);
    expect(await subjects.join('ada')).toBe(first);
  });

  it('is remembered after it has left until it would have again what it has spent', async () => {
    const subjects = new Subjects(limits, null);
    const subject = await subjects.join('ada');
    const now = performance.now();
    if (subject === null) throw new Error('It is in.');
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

  it('publishes as much as it may, in number and in bytes', async () => {
    const subject = await new Subjects(limits, null).join('ada');
    const now = performance.now();
    expect([1, 2, 3].map(() => tenths(subject?.admitPublication(10, false, now)))).toEqual([0, 0, 10]);
    // More than the bucket holds goes once, and has to be waited for afterwards.
    expect(subject?.admitPublication(500, false, now + 1_100)).toBe('admitted');
    // Neither is counted where only one of the two would do.
    expect(tenths(subject?.admitPublication(1, false, now + 3_100))).toBe(10);
    expect(subject?.admitPublication(1, false, now + 5_200)).toBe('admitted');
  });

  it('publishes to topics with history as many bytes an hour as it may, and to others more', async () => {
    const subject = await new Subjects({ ...limits, historyBytesPerHour: 36 }, null).join('ada');
    const now = performance.now();
    expect(subject?.admitPublication(30, true, now)).toBe('admitted');
    expect(subject?.admitPublication(10, true, now)).toEqual({ limit: 'historyBytes', retryAfterMs: 400_000 });
    expect(subject?.admitPublication(10, false, now)).toBe('admitted');
    // What the first was refused for is not counted anywhere.
    expect(subject?.admitPublication(10, true, now + 400_001)).toBe('admitted');
  });

  it('begins as many topics an hour as it may', async () => {
    const subject = await new Subjects({ ...limits, newTopicsPerHour: 2 }, null).join('ada');
    if (subject === null) throw new Error('It is in.');
    subject.onTopicBegun();
    expect(subject.mayBeginTopic(performance.now())).toBe(true);
    // Begun by publications that were on their way together: what is too much is owed.
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
    if (subject === null) throw new Error('It is in.');
    const admitted = (nowMs: number): number => {
      let count = 0;
      while (subject.admitCommand(nowMs) === 'admitted') count++;
      return count;
    };
    subject.onPublicationsRead(65_535);
    subject.onPublicationsRead(262_144);
    const now = performance.now();
    expect(admitted(now)).toBe(16);
    // Answers on their way at the same time: what is too much is owed.
    subject.onPublicationsRead(20 * 65_536);
    expect(admitted(now + 1_900)).toBe(0);
    expect(admitted(now + 4_100)).toBeGreaterThan(0);
  });

  it('subscribes to everything at once when it comes back', async () => {
    const subject = await new Subjects(limits, null).join('ada');
    const now = performance.now();
    expect(Array.from({ length: 7 }, () => tenths(subject?.admitCommand(now)))).toEqual([0, 0, 0, 0, 0, 10, 20]);
  });
});

describe('a bucket that several nodes share', () => {
  /** The whole, as a store keeps it, without time. */
  function wholeOf(left: number) {
    const whole = { left, told: [] as number[], isAway: false };
    const spend: Spend = async (spendings) => {
      if (whole.isAway) throw new Error('It is away.');
      return spendings.map(({ amount }) => {
        whole.told.push(amount);
        whole.left -= amount;
        return whole.left;
      });
    };
    return { whole, spend };
  }

  /** A copy of it at one node. */
  function copyOf(spend: Spend, perSecond: number, burst: number) {
    const ledger = new Ledger(spend);
    const bucket = ledger.open({ name: 'b', perSecond, burst }, performance.now());
    /** Takes as the node does, which waits if the others have to be asked. */
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

  it('gives nothing before the whole has answered', async () => {
    const { spend } = wholeOf(-5);
    const { bucket, take } = copyOf(spend, 0.001, 20);
    expect(bucket.asksFirst(1)).toBe(true);
    expect(await take()).toBe(false);
  });

  it('gives a reserve at once, asks before it gives more, and so gives all that is there', async () => {
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
    await until('the whole was told', () => whole.left === 0);
    expect(whole.told.length).toBeLessThan(25);
    expect(bucket.isForgettable(performance.now())).toBe(true);
  });

  it('gives one thing that is larger than the reserve without asking, and asks before the next', async () => {
    const { spend } = wholeOf(100);
    const { bucket, take } = copyOf(spend, 0.001, 100);
    expect(await take()).toBe(true);
    await until('the whole was told', () => bucket.isForgettable(performance.now()));
    expect(bucket.asksFirst(60)).toBe(false);
    bucket.charge(60, performance.now());
    expect(bucket.asksFirst(1)).toBe(true);
  });

  it('tells the whole afterwards, also if nobody asks', async () => {
    const { whole, spend } = wholeOf(1_000);
    const { bucket, take } = copyOf(spend, 0.001, 1_000);
    expect(await take()).toBe(true);
    expect(bucket.isForgettable(performance.now())).toBe(false);
    await until('the whole was told', () => whole.left === 999);
    await until('it has heard', () => bucket.isForgettable(performance.now()));
  });

  it('gives what others have left, and what it gave too much it owes', async () => {
    const { whole, spend } = wholeOf(20);
    const { bucket, take } = copyOf(spend, 0.001, 20);
    expect(await take()).toBe(true);
    await until('the whole was told', () => bucket.isForgettable(performance.now()));
    // Another node takes nearly everything.
    whole.left = 1;
    expect([await take(), await take()]).toEqual([true, true]);
    await until('the whole was told', () => whole.left === -1);
    await until('it has heard', () => bucket.isForgettable(performance.now()));
    expect(bucket.has(1, performance.now())).toBe(false);
  });

  it('fills by itself in silence, also for what is larger than what is left', async () => {
    const { whole, spend } = wholeOf(20);
    const { bucket, take } = copyOf(spend, 10, 20);
    expect(await take(15)).toBe(true);
    await until('the whole was told', () => whole.left === 5);
    await until('it has heard', () => bucket.isForgettable(performance.now()));
    expect(bucket.has(20, performance.now())).toBe(false);
    expect(bucket.has(20, performance.now() + 2_000)).toBe(true);
  });

  it('is that of this node alone while the whole cannot be told', async () => {
    const { whole, spend } = wholeOf(0);
    whole.isAway = true;
    const { bucket, take } = copyOf(spend, 0.001, 20);
    let taken = 0;
    while (await take()) taken++;
    expect(taken).toBe(20);
    // Another copy would be full: nobody knows of what was taken but this node.
    await until('it has not been heard', () => !bucket.needsReport);
    expect(bucket.isForgettable(performance.now())).toBe(false);
    expect(bucket.isForgettable(performance.now() + 20_000_000)).toBe(true);
  });

  it('never gives more than comes in, one burst, and a reserve or one thing for each node', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    try {
      const strategy = fc.record({
        nodes: fc.integer({ min: 1, max: 8 }),
        amount: fc.constantFrom(1, 4, 30),
        /** In turns: for how long the subject is silent, and which nodes it then sends all it can to, how many times. */
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
