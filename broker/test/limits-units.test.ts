import { describe, expect, it } from 'vitest';
import { Addresses, isNetwork, Networks } from '../src/limits/addresses.js';
import { readOrigins } from '../src/limits/origins.js';
import { SharedBucket } from '../src/limits/shared-bucket.js';
import { Subjects } from '../src/limits/subjects.js';
import { TokenBucket } from '../src/limits/token-bucket.js';
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

describe('the address of a client', () => {
  const addresses = new Addresses(new Networks(['10.0.0.0/8', '2001:db8:1::/48']), 10);

  it.each([
    ['of the socket, where that is no trusted proxy, whatever it claims', '192.0.2.1', '198.51.100.7', '192.0.2.1'],
    ['of the socket, where the proxy says nothing', '10.0.0.1', '', '10.0.0.1'],
    ['the last one that is no proxy', '10.0.0.1', '203.0.113.9, 198.51.100.7, 10.2.3.4', '198.51.100.7'],
    ['not one that a client made up before it', '10.0.0.1', '127.0.0.1, 198.51.100.7', '198.51.100.7'],
    ['of the proxy, where what it says is no address', '10.0.0.1', 'unknown', '10.0.0.1'],
    ['behind a proxy of IPv6', '2001:db8:1::5', '2001:DB8:9::1', '2001:db8:9::1'],
    // Found by `npm run fuzz -- --target addresses`: only with 32 bits behind it is ::ffff: IPv4.
    ['an IPv6 address that only begins like IPv4', '::ffff:1', '', '::ffff:1'],
    ['another of them', '10.0.0.1', '::ffff:0:198.51.100.7', '::ffff:0:198.51.100.7'],
    ['IPv4 in hexadecimal', '::ffff:c633:6407', '', '198.51.100.7'],
    ['IPv4, also in the clothes of IPv6', '::ffff:10.0.0.1', '::ffff:198.51.100.7', '198.51.100.7'],
    ['IPv4, as uWebSockets writes it', '0000:0000:0000:0000:0000:ffff:0a00:0001', '198.51.100.7', '198.51.100.7'],
  ])('is that %s', (_, remote, forwardedFor, client) => {
    expect(addresses.clientOf(remote, forwardedFor)).toBe(client);
  });

  it('of IPv6 counts by its /64', () => {
    const one = addresses.of('2001:db8:9:1::1');
    expect(one).toMatchObject({ key: '2001:db8:9:1::/64' });
    expect(addresses.of('2001:db8:9:1:ffff::2')?.key).toBe(one?.key);
    expect(addresses.of('2001:0db8:0009:0001:0000:0000:0000:0003')?.key).toBe(one?.key);
    // Found by `npm run fuzz -- --target addresses`: the last 32 bits may be written as those of IPv4.
    expect(addresses.of('2001:db8:9:1:0:0:192.0.2.1')?.key).toBe(one?.key);
    expect(addresses.of('::a:b:c:d:192.0.2.1')?.key).toBe('0:0:a:b::/64');
    expect(addresses.of('2001:db8:9:2::1')?.key).not.toBe(one?.key);
  });

  it('of this machine, or of a trusted proxy itself, is not counted', () => {
    for (const client of ['127.0.0.1', '127.9.9.9', '::1', '10.3.3.3']) expect(addresses.of(client)).toBeNull();
  });

  it('is forgotten when it has no connection, and may connect as often as any other', () => {
    const address = addresses.of('192.0.2.1');
    if (address === null) throw new Error('It is counted.');
    const now = performance.now();
    expect(address.handshakes.take(10, now)).toBe(true);
    expect(address.handshakes.take(1, now)).toBe(false);
    address.connections++;
    addresses.forgetIdle(now + 5_000);
    expect(addresses.of('192.0.2.1')).toBe(address);
    address.connections--;
    address.handshakes.take(5, now + 5_000);
    addresses.forgetIdle(now + 5_000);
    expect(addresses.of('192.0.2.1')).toBe(address);
    addresses.forgetIdle(now + 6_000);
    expect(addresses.of('192.0.2.1')).not.toBe(address);
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
    'at origin 1: it is not written as browsers write it: use what location.origin is in the page, in lower case, without a default port, and with nothing behind the host.';

  it.each([
    ['https://app.example.com/', rewrite],
    ['https://App.example.com', rewrite],
    ['https://a.example:443', rewrite],
    ['https://ada:hush@a.example', rewrite],
    ['Capacitor://LocalHost/', rewrite],
    ['https://*.example.com', 'at origin 1: it is a pattern: list each origin.'],
    ['app.example.com', 'at origin 1: it is no origin such as https://app.example.com.'],
    [
      'null',
      'at origin 1: it is null, which sandboxed pages and files in a browser have: it cannot be allowed. Apps that load their page from a file send file://.',
    ],
    ['tauri://', 'at origin 1: it is no origin such as https://app.example.com or capacitor://localhost.'],
    ['capacitor:localhost', 'at origin 1: it is no origin such as https://app.example.com.'],
    ['file:///app/index.html', 'at origin 1: it is a file: apps send file://, write that.'],
    [
      'wss://a.example',
      'at origin 1: it is the address of a node: write the origin of the page that connects, such as https://app.example.com.',
    ],
    ['https://a.example,*', 'at origin 2: it is * next to others: write * alone, or leave it out.'],
    ['https://a.example,,https://b.example', 'at origin 2: it is empty: separate origins with one comma.'],
  ])('cannot be %s', (text, sentence) => {
    expect(read(text).wrong).toEqual([sentence]);
  });
});

/** Tenths of a second. */
const tenths = (ms = Number.NaN): number => Math.round(ms / 100);

describe('a subject', () => {
  const limits = {
    maxConnectionsPerSubject: 2,
    publishRate: 1,
    publishBytesRate: 100,
    commandRate: 1,
    maxSubscriptions: 3,
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
    expect([1, 2, 3].map(() => tenths(subject.admitPublication(10, now)))).toEqual([0, 0, 10]);
    subjects.leave(subject);
    subjects.forgetIdle(now + 1_000);
    expect(await subjects.join('ada')).toBe(subject);
    expect(subject.admitPublication(10, now)).toBeGreaterThan(0);
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
    expect([1, 2, 3].map(() => tenths(subject?.admitPublication(10, now)))).toEqual([0, 0, 10]);
    // More than the bucket holds goes once, and has to be waited for afterwards.
    expect(subject?.admitPublication(500, now + 1_100)).toBe(0);
    // Neither is counted where only one of the two would do.
    expect(tenths(subject?.admitPublication(1, now + 3_100))).toBe(10);
    expect(subject?.admitPublication(1, now + 5_200)).toBe(0);
  });

  it('subscribes to everything at once when it comes back', async () => {
    const subject = await new Subjects(limits, null).join('ada');
    const now = performance.now();
    expect(Array.from({ length: 7 }, () => tenths(subject?.admitCommand(now)))).toEqual([0, 0, 0, 0, 0, 10, 20]);
  });
});

describe('a bucket that several nodes have together', () => {
  /** The whole, as a store keeps it, without time. */
  function wholeOf(left: number) {
    const whole = { left, told: [] as number[], isAway: false };
    const spend = async (amount: number): Promise<number> => {
      if (whole.isAway) throw new Error('It is away.');
      whole.told.push(amount);
      whole.left -= amount;
      return whole.left;
    };
    return { whole, spend };
  }

  it('gives at once, and tells the whole afterwards', async () => {
    const { whole, spend } = wholeOf(1_000);
    const bucket = new SharedBucket(spend, 0.001, 1_000, performance.now());
    for (let taken = 0; taken < 600; taken++) expect(bucket.take(1, performance.now())).toBe(true);
    await until('the whole was told', () => whole.left === 400);
    expect(whole.told.length).toBeLessThan(5);
    expect(bucket.isFull(performance.now())).toBe(false);
  });

  it('gives what others have left, and what it gave too much it owes', async () => {
    const { whole, spend } = wholeOf(5);
    const now = performance.now();
    const bucket = new SharedBucket(spend, 10, 20, now);
    // It does not know better yet.
    for (let taken = 0; taken < 10; taken++) expect(bucket.take(1, now)).toBe(true);
    await until('the whole was told', () => whole.left === -5);
    await until('it has heard', () => !bucket.take(1, performance.now()));
    expect(bucket.isFull(now + 600_000)).toBe(true);
  });

  it('fills by itself in silence, also for what is larger than what is left', async () => {
    const { whole, spend } = wholeOf(20);
    const now = performance.now();
    const bucket = new SharedBucket(spend, 10, 20, now);
    expect(bucket.take(15, now)).toBe(true);
    await until('the whole was told', () => whole.left === 5);
    expect(bucket.take(20, performance.now())).toBe(false);
    expect(bucket.take(20, performance.now() + 2_000)).toBe(true);
  });

  it('is that of this node alone while the whole cannot be told', () => {
    const { whole, spend } = wholeOf(0);
    whole.isAway = true;
    const bucket = new SharedBucket(spend, 10, 20, 0);
    let taken = 0;
    for (let at = 0; at <= 10_000; at += 50) if (bucket.take(1, at)) taken++;
    expect(taken).toBeGreaterThanOrEqual(119);
    expect(taken).toBeLessThanOrEqual(121);
  });
});
