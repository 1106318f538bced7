import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseTopic, type Topic } from '@fanfare/protocol';
import { afterAll, describe, expect, it } from 'vitest';
import { readRedisUrl } from '../src/redis/redis-url.js';
import { loadConfig, settings } from '../src/settings/config.js';
import { policyFields } from '../src/settings/config-documents.js';
import { availableCpus, cpuLimit } from '../src/settings/cpus.js';
import { helpText } from '../src/settings/help-text.js';
import { defaultPolicy } from '../src/topics/policy.js';
import { CertificateFolder } from './certificates.js';
import { wrong } from './wrong.js';

describe('the configuration', () => {
  it('needs no settings', () => {
    expect(loadConfig({})).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      adminPort: 8081,
      redisUrl: null,
      auth: null,
    });
  });

  it('accepts a value for every setting', () => {
    const config = loadConfig({
      FANFARE_PORT: '9000',
      FANFARE_REDIS_URL: 'rediss://user:secret@redis.example:6380',
      FANFARE_NODE_NAME: 'a',
      FANFARE_LOG_FORMAT: 'pretty',
    });
    expect(config).toMatchObject({ port: 9_000, nodeName: 'a', logFormat: 'pretty' });
  });

  it('counts an empty variable as unset', () => {
    expect(loadConfig({ FANFARE_PORT: '', FANFARE_REDIS_URL: '' })).toMatchObject({ port: 8080, redisUrl: null });
  });

  it.each([
    ['FANFARE_PORT', '80 80', 'FANFARE_PORT must be an integer from 0 to 65535.'],
    ['FANFARE_PORT', '65536', 'FANFARE_PORT must be an integer from 0 to 65535.'],
    ['FANFARE_PORT', '1e3', 'FANFARE_PORT must be an integer from 0 to 65535.'],
    ['FANFARE_IDLE_TIMEOUT_SECONDS', '7', 'FANFARE_IDLE_TIMEOUT_SECONDS must be an integer from 8 to 960.'],
    ['FANFARE_AUTH', 'yes', 'FANFARE_AUTH is neither JSON nor "@" followed by the path of a file.'],
    ['FANFARE_TRACING_RATIO', '1.5', 'FANFARE_TRACING_RATIO must be a number from 0 to 1, such as 0.001.'],
    ['FANFARE_TRACING_RATIO', '1e-3', 'FANFARE_TRACING_RATIO must be a number from 0 to 1, such as 0.001.'],
    [
      'FANFARE_TRACING_URL',
      'grpc://user:password@collector:4317',
      'FANFARE_TRACING_URL must be a URL such as http://collector:4318 or http://collector:4318/v1/traces.',
    ],
    ['FANFARE_LOG_FORMAT', 'xml', 'FANFARE_LOG_FORMAT must be "json" or "pretty".'],
    ['FANFARE_LOG_LEVEL', 'loud', 'FANFARE_LOG_LEVEL must be "debug", "info", "warn", "error" or "silent".'],
    ['FANFARE_REDIS_PREFIX', 'a b', 'FANFARE_REDIS_PREFIX must be 1 to 64 characters of A-Z a-z 0-9 _ - :.'],
  ])('stops the start with a sentence about %s=%s', (name, value, sentence) => {
    expect(wrong({ [name]: value })).toEqual([sentence]);
  });

  it.each([
    'redis://redis',
    'redis://:@redis:6379/',
    'redis://:a+b==@redis',
    'unix:///run/redis/redis.sock',
    'rediss://user:p@ss%2Fw%C3%B6rd@[::1]:6380/2',
    'redis+sentinel://one,two:26380/mymaster',
    'rediss+sentinel://user:p%40ss@[::1]:26379,two/my-master.1?sentinelPassword=a@b&sentinelUsername=b&db=3',
  ])('accepts the Redis URL %s', (url) => {
    expect(loadConfig({ FANFARE_REDIS_URL: `${url}\n` }).redisUrl).toBe(url);
  });

  it('takes host, port, TLS, user and database from a Redis URL', () => {
    const none = {
      socketPath: null,
      masterName: null,
      username: null,
      password: null,
      sentinelUsername: null,
      sentinelPassword: null,
    };
    expect(readRedisUrl('redis://redis')).toEqual({
      ...none,
      servers: [{ host: 'redis', port: 6379 }],
      isTls: false,
      database: 0,
    });
    expect(readRedisUrl('rediss://user:p@ss:%2F%C3%B6@[::1]:6380/2')).toEqual({
      ...none,
      servers: [{ host: '::1', port: 6380 }],
      username: 'user',
      password: 'p@ss:/ö',
      isTls: true,
      database: 2,
    });
    expect(readRedisUrl('redis+sentinel://:secret@one,two:1/m?sentinelPassword=a+b%2F&db=3')).toEqual({
      ...none,
      servers: [
        { host: 'one', port: 26379 },
        { host: 'two', port: 1 },
      ],
      masterName: 'm',
      password: 'secret',
      sentinelPassword: 'a+b/',
      isTls: false,
      database: 3,
    });
    expect(readRedisUrl('unix://user:a%2Fb@/run/my%20redis.sock?db=2')).toEqual({
      ...none,
      servers: [],
      socketPath: '/run/my redis.sock',
      username: 'user',
      password: 'a/b',
      isTls: false,
      database: 2,
    });
  });

  it.each([
    ['secret@host:6379', 'is not a URL. Write redis://host:6379, or'],
    ['redis:secret@host', 'is not a URL. Write redis://host:6379, or'],
    ['http://:secret@host', 'has an unknown scheme. Use redis://, '],
    ['http+sentinel://:secret@one/m', 'has an unknown scheme. Use redis://, '],
    // ioredis would accept it without TLS.
    ['REDISS://:secret@host', 'has an unknown scheme. Use redis://, '],
    ['redis://:sec ret@host', 'contains a space or a line break. Remove it, or'],
    [
      'redis://:secret%zz@host',
      'has a "%" that is not followed by two hexadecimal digits of a character. In a user or password, write % as %25, / as %2F,',
    ],
    [
      'redis+sentinel://:secret%ff@one/m',
      'has a "%" that is not followed by two hexadecimal digits of a character. In a user or password, write % as %25, / as %2F,',
    ],
    [
      'redis+sentinel://one/m?sentinelPassword=secret%',
      'has a "%" that is not followed by two hexadecimal digits of a character. In a user',
    ],
    ['redis://:secret#1@host', 'has a "#". In a user or password, write % as %25,'],
    ['redis://:secret/1@host', 'has a "/" or "?" in its user or password. In a user or password, write % as %25,'],
    ['redis://user:1?secret@host', 'has a "/" or "?" in its user or password. In a user or password, write %'],
    // Base64.
    ['redis://:secret+a/b==@host:6379', 'or put the plain password into a file and set FANFARE_REDIS_PASSWORD_FILE.'],
    ['redis+sentinel://:secret+a/b==@one/m', 'has a "/" or "?" in its user or password.'],
    ['unix://:secret/b==@/run/redis.sock', 'has a "/", "?" or "#" in its user or password.'],
    ['unix:/secret/redis.sock', 'is not a valid URL of a Unix socket. Write unix:///run/redis/redis.sock, or'],
    ['unix:///secret.sock?db=one', 'has an invalid database. Write its number in ?db=, as in ?db=1.'],
    ['unix:///secret.sock?password=1', 'has an unknown parameter after the "?". Valid parameters: db=.'],
    ['redis:///secret.sock', 'A Unix socket is unix:///path.'],
    ['redis://', 'has no host. Write it after "://" or "@", as in'],
    ['redis://:secret@/1', 'has no host. Write it after "://" or "@", as in'],
    ['redis://:secret@:6379', 'has an invalid host. Use letters,'],
    ['redis://:secret@ho%41st', 'has an invalid host. Use letters,'],
    ['redis://:secret@[::g]', 'has an invalid host. Use letters,'],
    ['redis://:secret@::1:6379', 'has several ":" in a host. Write an IPv6 address in brackets, as in [::1]:6379.'],
    ['redis://:secret@host:0', 'has an invalid port. Use 1-65535, or omit it for'],
    ['redis://:secret@host:65536', 'has an invalid port. Use 1-65535, or'],
    ['redis://:secret@host:', 'has an invalid port. Use 1-65535, or'],
    ['redis+sentinel://:secret@one:x/m', 'has an invalid port. Use 1-65535, or'],
    ['redis://:secret@host/mymaster', 'has an invalid database. Write its number after the "/", as in'],
    ['redis://:secret@host?db=-1', 'has an invalid database. Write its number after the "/", as in'],
    ['redis+sentinel://:secret@one/m?db=a', 'has an invalid database. Write its number in ?db=, as in ?db=1.'],
    ['redis://:secret@host?enableOfflineQueue=1', 'has an unknown parameter after the "?". Valid parameters: db=.'],
    ['redis://:secret@host/1?db=2', 'has two databases. Write the number after the "/" or in ?db=, not in both.'],
    ['redis://:secret@host?db=1&db=2', 'has a duplicate parameter after the "?". Write each only once.'],
    [
      'redis+sentinel://one/m?sentinelPasword=secret',
      'has an unknown parameter after the "?". Valid parameters: db=, sentinelUsername=, sentinelPassword=.',
    ],
    [
      'redis+sentinel://:secret@one,,two/m',
      'has an empty entry in its list of Sentinels. Separate them with single comma',
    ],
    ['redis+sentinel://:secret@one:26379', 'has no master name. Write the name that the Sentinels use after a'],
    ['redis+sentinel://:secret@one:26379/', 'has no master name. Write the name that the Sentinels use after a'],
    ['redis+sentinel://:secret@one/m/3', 'has a master name with characters other than A-Z a-z 0-9 . _ -. Write'],
  ])('stops the start with a sentence about the Redis URL %s, and does not print it', (url, begin) => {
    const sentences = wrong({ FANFARE_REDIS_URL: url });
    expect(sentences).toEqual([expect.stringMatching(/^FANFARE_REDIS_URL [^\n]+\.$/)]);
    expect(sentences[0]?.slice('FANFARE_REDIS_URL '.length)).toContain(begin);
    expect(sentences[0]).not.toContain('secret');
  });

  it('stops the start with a sentence about files for Redis that do not fit FANFARE_REDIS_URL', () => {
    const FANFARE_REDIS_URL = 'redis://:secret@redis';
    expect(wrong({ FANFARE_REDIS_CA_FILE: 'a', FANFARE_REDIS_PASSWORD_FILE: 'b' })).toEqual([
      'FANFARE_REDIS_PASSWORD_FILE is set, but FANFARE_REDIS_URL is not. Set both or neither.',
      'FANFARE_REDIS_CA_FILE is set, but FANFARE_REDIS_URL is not. Set both or neither.',
    ]);
    expect(
      wrong({
        FANFARE_REDIS_URL,
        FANFARE_REDIS_CA_FILE: 'a',
        FANFARE_REDIS_CERT_FILE: 'b',
        FANFARE_REDIS_PASSWORD_FILE: 'c',
        FANFARE_REDIS_SENTINEL_PASSWORD_FILE: 'd',
      }),
    ).toEqual([
      'FANFARE_REDIS_CA_FILE requires TLS. FANFARE_REDIS_URL must begin with "rediss" instead of "redis".',
      'FANFARE_REDIS_CERT_FILE requires TLS. FANFARE_REDIS_URL must begin with "rediss" instead of "redis".',
      'FANFARE_REDIS_PASSWORD_FILE is set, and FANFARE_REDIS_URL also has a password. Remove one.',
      'FANFARE_REDIS_SENTINEL_PASSWORD_FILE is set, but FANFARE_REDIS_URL has no Sentinels. Remove the setting.',
      'FANFARE_REDIS_CERT_FILE is set, but FANFARE_REDIS_KEY_FILE is not. A client certificate requires both.',
    ]);
    expect(
      wrong({
        FANFARE_REDIS_URL: 'redis+sentinel://one/m?sentinelPassword=secret',
        FANFARE_REDIS_SENTINEL_PASSWORD_FILE: 'd',
      }),
    ).toEqual([
      'FANFARE_REDIS_SENTINEL_PASSWORD_FILE is set, and FANFARE_REDIS_URL also has ?sentinelPassword=. Remove one.',
    ]);
  });

  it('reads the Redis URL from a file, and reports its mistakes', () => {
    using folder = new CertificateFolder('unused');
    const file = folder.write('url', 'redis://:secret@redis/1\n');
    const { redisUrl, redisUrlFile } = loadConfig({ FANFARE_REDIS_URL_FILE: file, FANFARE_WORKERS: '2' });
    expect({ redisUrl, redisUrlFile }).toEqual({ redisUrl: 'redis://:secret@redis/1', redisUrlFile: file });
    expect(wrong({ FANFARE_REDIS_URL_FILE: file, FANFARE_REDIS_URL: 'redis://redis' })).toEqual([
      'FANFARE_REDIS_URL and FANFARE_REDIS_URL_FILE are both set. Remove one.',
    ]);
    expect(wrong({ FANFARE_REDIS_URL_FILE: file, FANFARE_REDIS_PASSWORD_FILE: file })).toEqual([
      'FANFARE_REDIS_PASSWORD_FILE is set, and FANFARE_REDIS_URL also has a password. Remove one.',
    ]);
    expect(wrong({ FANFARE_REDIS_URL_FILE: 'redis://:secret@redis' })).toEqual([
      'FANFARE_REDIS_URL_FILE names a file that cannot be read: there is no file at this path (ENOENT).',
    ]);
    expect(wrong({ FANFARE_REDIS_URL_FILE: folder.write('url', 'redis://:secret@redis:x') })).toEqual([
      expect.stringMatching(/^FANFARE_REDIS_URL_FILE names a file whose text has an invalid port\. [^\n]+\.$/),
    ]);
  });

  it('reports mistakes in the files for Redis', () => {
    using one = new CertificateFolder('one');
    using other = new CertificateFolder('other');
    const FANFARE_REDIS_URL = 'rediss://redis';
    const passwordFile = (name: string, content: string | Buffer) => {
      const file = one.write(name, content);
      return wrong({ FANFARE_REDIS_URL, FANFARE_REDIS_PASSWORD_FILE: file });
    };
    for (const [name, content, why] of [
      ['empty', '\n', 'is empty. The file must contain only the password.'],
      ['lines', 'secret\n\n', 'has several lines. The file must contain only the password.'],
      ['bom', '\ufeffsecret', 'cannot be read: it begins with a byte order mark (BOM); save it as UTF-8 without BOM.'],
      [
        'utf16',
        Buffer.from('\ufeffsecret', 'utf16le'),
        'cannot be read: it begins with a byte order mark (BOM); save it as UTF-8 without BOM.',
      ],
      [
        'latin1',
        Buffer.from('secret\xe4', 'latin1'),
        'cannot be read: it is not UTF-8 text; store binary secrets in base64, keys and certificates in PEM.',
      ],
    ] as const) {
      expect(passwordFile(name, content)).toEqual([`FANFARE_REDIS_PASSWORD_FILE names a file that ${why}`]);
    }
    expect(passwordFile('good', 'se cret/+=\r\n')).toEqual([]);
    expect(
      wrong({
        FANFARE_REDIS_URL,
        FANFARE_REDIS_CA_FILE: one.keyFile,
        FANFARE_REDIS_CERT_FILE: one.certFile,
        FANFARE_REDIS_KEY_FILE: other.keyFile,
      }),
    ).toEqual([
      expect.stringContaining('FANFARE_REDIS_CA_FILE names a file that contains no certificate: '),
      'The key in FANFARE_REDIS_KEY_FILE does not match the first certificate in FANFARE_REDIS_CERT_FILE (CN=one). Use the key of this certificate.',
    ]);
  });

  // Found by `npm run fuzz -- --target config`, like the next two.
  it('does not print a Redis URL that looks like a variable of Kubernetes', () => {
    expect(wrong({ FANFARE_REDIS_URL: 'tcp://:secret@host' })[0]).not.toContain('secret');
  });

  it('reports a mistake in one short line, for any value', () => {
    expect(wrong({ FANFARE_PORT: `1\n${'2'.repeat(5_000)}` })).toEqual([
      'FANFARE_PORT must be an integer from 0 to 65535.',
    ]);
    expect(wrong({ 'FANFARE_PO\nRT': '1' })).toEqual(['FANFARE_… is not a setting; did you mean FANFARE_PORT?']);
  });

  it.each([
    ['http://collector:4318', 'http://collector:4318/v1/traces'],
    ['https://user:password@collector/', 'https://user:password@collector/v1/traces'],
    ['http://collector:4318/v1/traces', 'http://collector:4318/v1/traces'],
    ['https://vendor.example/otlp/?tenant=1', 'https://vendor.example/otlp/?tenant=1'],
  ])('sends traces for %s to %s', (text, url) => {
    expect(loadConfig({ FANFARE_TRACING_URL: text }).tracingUrl).toBe(url);
  });

  it('names the position of an invalid proxy', () => {
    expect(wrong({ FANFARE_TRUSTED_PROXIES: '10.0.0.0/8,10.0.0.0/33' })).toEqual([
      'FANFARE_TRUSTED_PROXIES at address 2: must be an IP address, or a network such as 10.0.0.0/8.',
    ]);
  });

  it('reports the name of an unknown variable, and a setting with a similar name', () => {
    expect(wrong({ FANFARE_PROT: '1' })).toEqual(['FANFARE_PROT is not a setting; did you mean FANFARE_PORT?']);
    expect(wrong({ FANFARE_REDIS_ULR: '1' })).toEqual([
      'FANFARE_REDIS_ULR is not a setting; did you mean FANFARE_REDIS_URL?',
    ]);
    for (const name of ['FANFARE_REDIS_CLUSTER_NODES', 'FANFARE_TOKEN', 'FANFARE_NAME'])
      expect(wrong({ [name]: '1' })).toEqual([
        `${name} is not a setting; docs/reference/settings.md lists all settings.`,
      ]);
  });

  it('reports an unknown variable that does not look like a setting with only the words that settings have', () => {
    expect(wrong({ FANFARE_REDIS_9f86d081884c7d65: '1' })).toEqual([
      'FANFARE_REDIS_… is not a setting; docs/reference/settings.md lists all settings.',
    ]);
  });

  it('reports a placeholder of the manifests and the value to replace it with', () => {
    expect(wrong({ FANFARE_TRUSTED_PROXIES: '<addresses of the gateway>' })).toEqual([
      'FANFARE_TRUSTED_PROXIES contains a placeholder. It must be addresses or networks such as 10.0.0.0/8, separated by commas.',
    ]);
  });

  it('lists all mistakes at once', () => {
    expect(wrong({ FANFARE_PORT: 'x', FANFARE_AUTH: 'x', FANFARE_X: 'x' }).length).toBe(3);
  });

  it('exposes the node to other machines only if a setting confirms it', () => {
    expect(wrong({ FANFARE_HOST: '0.0.0.0' })).toEqual([
      'FANFARE_HOST exposes the node without authentication. Configure FANFARE_AUTH, set FANFARE_AUTH=none to allow everyone, or set FANFARE_HOST=127.0.0.1.',
    ]);
    expect(wrong({ FANFARE_HOST: '0.0.0.0', FANFARE_AUTH: 'none' })).toEqual([]);
    expect(wrong({ FANFARE_HOST: 'localhost' })).toEqual([]);
    expect(wrong({ FANFARE_HOST: '127.0.0.2' })).toEqual([]);
  });

  it('requires two different ports', () => {
    expect(wrong({ FANFARE_PORT: '9000', FANFARE_ADMIN_PORT: '9000' })).toEqual([
      'FANFARE_PORT and FANFARE_ADMIN_PORT are both 9000. Use different ports.',
    ]);
    expect(wrong({ FANFARE_PORT: '0', FANFARE_ADMIN_PORT: '0' })).toEqual([]);
  });

  it('accepts a number of workers, or "auto" for the number of CPUs', () => {
    const redis = { FANFARE_REDIS_URL: 'redis://127.0.0.1' };
    expect(loadConfig({ ...redis, FANFARE_WORKERS: '3' }).workers).toBe(3);
    expect(loadConfig({ ...redis, FANFARE_WORKERS: 'auto' }).workers).toBe(availableCpus());
    expect(wrong({ FANFARE_WORKERS: '1' })).toEqual([]);
    for (const value of ['0', '257', '-1', '2.5', 'all']) {
      expect(wrong({ ...redis, FANFARE_WORKERS: value })).toEqual([
        'FANFARE_WORKERS must be "auto" or an integer from 1 to 256.',
      ]);
    }
  });

  it('requires Redis for several workers, and a node name with room for their numbers', () => {
    expect(wrong({ FANFARE_WORKERS: '2' })).toEqual([
      'FANFARE_WORKERS is 2, and several workers require Redis. Set FANFARE_REDIS_URL.',
    ]);
    const redis = { FANFARE_REDIS_URL: 'redis://127.0.0.1' };
    expect(wrong({ ...redis, FANFARE_WORKERS: '256' })).toEqual([]);
    expect(wrong({ ...redis, FANFARE_WORKERS: '12', FANFARE_NODE_NAME: 'x'.repeat(61) })).toEqual([]);
    expect(wrong({ ...redis, FANFARE_WORKERS: '12', FANFARE_NODE_NAME: 'x'.repeat(62) })).toEqual([
      'FANFARE_WORKERS is 12, so FANFARE_NODE_NAME may have at most 61 characters, not 62.',
    ]);
  });

  it.each([
    ['max 100000\n', Number.POSITIVE_INFINITY],
    ['250000 100000\n', 2.5],
    ['50000 100000\n', 0.5],
    ['', Number.POSITIVE_INFINITY],
  ])("reads a container's CPU limit %j", (text, cpus) => {
    expect(cpuLimit(text)).toBe(cpus);
  });

  it('recognises the variables that Kubernetes sets for a Service named "fanfare"', () => {
    expect(wrong({ FANFARE_SERVICE_HOST: '10.0.0.1', FANFARE_PORT_8080_TCP: 'tcp://10.0.0.1:8080' })).toEqual([]);
    expect(wrong({ FANFARE_PORT: 'tcp://10.0.0.1:8080' })).toEqual([
      'FANFARE_PORT has a value like tcp://10.0.0.1:8080, which Kubernetes sets for a Service of that name. Set enableServiceLinks: false in the pod, or rename the Service.',
    ]);
  });

  it.each([
    ['frame to a node', settings.maxFrameBytes],
    ['subscriptions of a connection', settings.maxSubscriptions],
    ['unread bytes of a connection', settings.maxBufferedBytes],
    ['silence of a client', settings.idleTimeoutSeconds],
    ['publications that wait for Redis', settings.maxRelayBytes],
    ['publications of a subject', settings.publishRate],
    ['bytes of publications of a subject', settings.publishBytesRate],
    ['other commands of a subject', settings.commandRate],
    ['topics with history that a subject begins', settings.newTopicsPerHour],
    ['bytes that a subject publishes to topics with history', settings.historyBytesPerHour],
  ])('has the default that PROTOCOL.md section 7 promises for: %s', (limit, setting) => {
    const protocol = readFileSync(new URL('../../protocol/PROTOCOL.md', import.meta.url), 'utf8');
    const row = protocol.split('\n').find((line) => line.startsWith(`| ${limit}`));
    expect(/default (\d+)/.exec(row ?? '')?.[1]).toBe(setting.fallback);
  });

  it.each([
    ['frame to a node', settings.maxFrameBytes],
    ['time in which a `messageId` is known again', settings.idempotencyWindowSeconds],
  ])('has at least the minimum that PROTOCOL.md section 7 promises for: %s', (limit, { mustBe }) => {
    const protocol = readFileSync(new URL('../../protocol/PROTOCOL.md', import.meta.url), 'utf8');
    const row = protocol.split('\n').find((line) => line.startsWith(`| ${limit}`));
    expect(mustBe).toContain(`from ${/at least (\d+)/.exec(row ?? '')?.[1]} to`);
  });

  it('is completely listed by --help', () => {
    for (const { name } of Object.values(settings)) expect(helpText()).toContain(`  ${name}\n`);
  });
});

describe('the policies of topics', () => {
  const folder = mkdtempSync(join(tmpdir(), 'fanfare-config-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  function fileOf(text: string): string {
    const file = join(folder, 'topics.json');
    writeFileSync(file, text);
    return file;
  }

  function policyOf(topics: string, topic: string) {
    return loadConfig({ FANFARE_TOPICS: topics }).topics.of(parseTopic(topic) as Topic);
  }

  const example =
    '{"prices.>":{"level":"fast"},"orders.*":{"level":"durable","historySize":1000,"historyAgeSeconds":3600,"lastValue":true}}';

  it('are the default if none are configured', () => {
    expect(loadConfig({}).topics.of('a' as Topic)).toBe(defaultPolicy);
    expect(policyOf('', 'a')).toBe(defaultPolicy);
    expect(policyOf('{}', 'a')).toBe(defaultPolicy);
  });

  it.each([
    ['the variable', () => example],
    ['a file', () => `@${fileOf(`${example}\n`)}`],
  ])('are read from %s', (_, topics) => {
    expect(policyOf(topics(), 'prices.BTC-EUR')).toMatchObject({ level: 'fast' });
    expect(policyOf(topics(), 'orders.7')).toEqual({
      level: 'durable',
      historySize: 1000,
      historyAgeSeconds: 3600,
      lastValue: true,
    });
    expect(policyOf(topics(), 'news')).toBe(defaultPolicy);
  });

  it('may be at the limits', () => {
    expect(policyOf('{"a":{"historySize":1,"historyAgeSeconds":31536000}}', 'a')).toMatchObject({
      historySize: 1,
      historyAgeSeconds: 31_536_000,
    });
    expect(policyOf('{"a":{"historySize":100000,"historyAgeSeconds":1}}', 'a')).toMatchObject({
      historySize: 100_000,
      historyAgeSeconds: 1,
    });
  });

  it('may have names that every object has', () => {
    expect(policyOf('{"__proto__":{"historySize":1}}', '__proto__').historySize).toBe(1);
    expect(policyOf('{"__proto__":{"historySize":1}}', 'historySize')).toBe(defaultPolicy);
  });

  it.each([
    [
      'an array as document',
      '[{"level":"fast"}]',
      'FANFARE_TOPICS must be an object that maps patterns to policies, such as {"prices.>":{"level":"fast"}}.',
    ],
    [
      'null as document',
      'null',
      'FANFARE_TOPICS must be an object that maps patterns to policies, such as {"prices.>":{"level":"fast"}}.',
    ],
    ['an empty pattern', '{"":{}}', 'FANFARE_TOPICS at pattern 1: it is empty.'],
    ['a pattern with an empty segment', '{"a..b":{}}', 'FANFARE_TOPICS at pattern 1: it has an empty segment.'],
    [
      'a pattern with a wildcard inside a segment',
      '{"pri*":{}}',
      'FANFARE_TOPICS at pattern 1: it has a "*" or ">" next to other characters; each must be a whole segment.',
    ],
    [
      'a pattern with a segment after ">"',
      '{">.a":{}}',
      'FANFARE_TOPICS at pattern 1: it has a ">" that is not its last segment.',
    ],
    [
      'a pattern with a character that is invalid in topics',
      '{"a/b":{}}',
      'FANFARE_TOPICS at pattern 1: it has a character outside A-Z a-z 0-9 _ - * > and the "." between segments.',
    ],
    ['a long pattern', `{"${'a'.repeat(201)}":{}}`, 'FANFARE_TOPICS at pattern 1: it is longer than 200 bytes.'],
    [
      'a pattern with many segments',
      '{"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.>":{}}',
      'FANFARE_TOPICS at pattern 1: it has more than 16 segments.',
    ],
    [
      'a policy that is not an object',
      '{"a":"fast"}',
      'FANFARE_TOPICS at pattern 1: a policy must be an object such as {"level":"fast"}.',
    ],
    [
      'an unknown level',
      '{"a":{"level":"sure"}}',
      'FANFARE_TOPICS at pattern 1: level must be "fast", "recoverable" or "durable".',
    ],
    [
      'a misspelt field',
      '{"a":{"history_size":7}}',
      'FANFARE_TOPICS at pattern 1: field 1 of the policy is unknown; did you mean historySize?',
    ],
    [
      'another unknown field',
      '{"a":{"ttl":7}}',
      'FANFARE_TOPICS at pattern 1: field 1 of the policy is unknown; valid names: level, historySize, historyAgeSeconds, lastValue.',
    ],
    [
      'a field that every object has',
      '{"a":{"__proto__":{"level":"fast"}}}',
      'FANFARE_TOPICS at pattern 1: field 1 of the policy is unknown; valid names: level, historySize, historyAgeSeconds, lastValue.',
    ],
    [
      'presence',
      '{"a":{"presence":true}}',
      'FANFARE_TOPICS at pattern 1: "presence" is not available in this version. Remove it.',
    ],
    [
      'no history',
      '{"a":{"historySize":0}}',
      'FANFARE_TOPICS at pattern 1: historySize must be an integer from 1 to 100000.',
    ],
    [
      'a long history',
      '{"a":{"historySize":100001}}',
      'FANFARE_TOPICS at pattern 1: historySize must be an integer from 1 to 100000.',
    ],
    [
      'a history size in quotes',
      '{"a":{"historySize":"7"}}',
      'FANFARE_TOPICS at pattern 1: historySize must be an integer from 1 to 100000.',
    ],
    [
      'part of a second',
      '{"a":{"historyAgeSeconds":0.5}}',
      'FANFARE_TOPICS at pattern 1: historyAgeSeconds must be an integer from 1 to 31536000.',
    ],
    [
      'more than a year',
      '{"a":{"historyAgeSeconds":31536001}}',
      'FANFARE_TOPICS at pattern 1: historyAgeSeconds must be an integer from 1 to 31536000.',
    ],
    [
      'a last value that is neither true nor false',
      '{"a":{"lastValue":"yes"}}',
      'FANFARE_TOPICS at pattern 1: lastValue must be true or false.',
    ],
    [
      'history of a fast topic',
      '{"a":{"historySize":0,"level":"fast"}}',
      'FANFARE_TOPICS at pattern 1: a topic of level "fast" keeps no history. Remove historySize.',
    ],
    [
      'the last value of a fast topic',
      '{"a":{"level":"fast","lastValue":false}}',
      'FANFARE_TOPICS at pattern 1: a topic of level "fast" keeps no history. Remove lastValue.',
    ],
  ])('stop the start with a sentence: %s', (_, topics, sentence) => {
    expect(wrong({ FANFARE_TOPICS: topics })).toEqual([sentence]);
    expect(wrong({ FANFARE_TOPICS: `@${fileOf(topics)}` })).toEqual([sentence]);
  });

  it('stop the start with one line about why the value is not JSON', () => {
    const [inline, ...others] = wrong({ FANFARE_TOPICS: '/etc/fanfare/topics.json' });
    expect(others).toEqual([]);
    expect(inline).toBe('FANFARE_TOPICS is neither JSON nor "@" followed by the path of a file.');
    expect(wrong({ FANFARE_TOPICS: `@${fileOf('\ufeff{}')}` })).toEqual([
      'FANFARE_TOPICS names a file that cannot be read: it begins with a byte order mark (BOM); save it as UTF-8 without BOM.',
    ]);
    expect(wrong({ FANFARE_TOPICS: `@${fileOf('{\n  "a": {},\n}\n')}` })).toEqual([
      'FANFARE_TOPICS names a file that is not JSON: see line 3.',
    ]);
  });

  it('stop the start with a sentence about why a file cannot be read', () => {
    const missing = join(folder, 'missing.json');
    expect(wrong({ FANFARE_TOPICS: `@${missing}` })).toEqual([
      'FANFARE_TOPICS names a file that cannot be read: there is no file at this path (ENOENT).',
    ]);
    expect(wrong({ FANFARE_TOPICS: `@${folder}` })).toEqual([
      'FANFARE_TOPICS names a file that cannot be read: it is a directory (EISDIR).',
    ]);
    expect(wrong({ FANFARE_TOPICS: '@' })).toEqual([
      'FANFARE_TOPICS names a file that cannot be read: there is no file at this path (ENOENT).',
    ]);
  });

  it('stop the start with all mistakes at once, and with those of other settings', () => {
    expect(
      wrong({
        FANFARE_PORT: 'x',
        FANFARE_TOPICS: '{"a..b":{"level":"sure"},"c":{"historySize":0,"presence":true},"d":{"level":"fast"}}',
      }),
    ).toEqual([
      'FANFARE_PORT must be an integer from 0 to 65535.',
      'FANFARE_TOPICS at pattern 1: it has an empty segment.',
      'FANFARE_TOPICS at pattern 1: level must be "fast", "recoverable" or "durable".',
      'FANFARE_TOPICS at pattern 2: historySize must be an integer from 1 to 100000.',
      'FANFARE_TOPICS at pattern 2: "presence" is not available in this version. Remove it.',
    ]);
  });

  it('can be written as docs/configuration.md shows it', () => {
    const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
    const shown = /```json\n(.+?)```/s.exec(page)?.[1] ?? '';
    expect(JSON.parse(shown)).toEqual(JSON.parse(example));
    expect(wrong({ FANFARE_TOPICS: shown })).toEqual([]);
  });

  it('have the defaults that their fields declare, and --help lists all of them', () => {
    for (const [field, { fallback }] of Object.entries(policyFields)) {
      expect(String(defaultPolicy[field as keyof typeof defaultPolicy])).toBe(fallback);
      expect(helpText()).toContain(`  ${field}\n`);
    }
  });
});
