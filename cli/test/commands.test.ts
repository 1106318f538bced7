/** The commands against real nodes: right and wrong input, pipes, a terminal, and signals. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { FaultProxy } from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey } from '../../broker/src/auth/api-keys.js';
import { startCluster, type TestCluster } from '../../broker/test/harness.js';
import { until } from '../../broker/test/wait.js';
import { createProgram } from '../src/program.js';
import { atTerminal, run, shell, start } from './cli.js';

const secret = 'a secret that is known to this test only';
const service = createApiKey('ops');
const auth = JSON.stringify({
  issuers: [{ issuer: 'my-app', keys: [{ algorithm: 'HS256', secret }] }],
  apiKeys: [{ ...service.entry, permissions: { publish: ['>'], subscribe: ['>'] } }],
});

let cluster: TestCluster;
let env: Record<string, string>;
let folder: string;
let topics = 0;

beforeAll(async () => {
  cluster = await startCluster({ env: { FANFARE_TOPICS: '{"fast.>":{"level":"fast"}}' } });
  env = { FANFARE_URL: cluster.node().url };
  folder = await mkdtemp(join(tmpdir(), 'fanfare-cli-'));
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const newTopic = (): string => `t${++topics}`;
const fanfare = (...args: string[]) => run(args, { env });

/** Resolves when the topic has this many subscribers. */
async function subscribers(topic: string, count: number): Promise<void> {
  const url = cluster.node().url.replace('ws:', 'http:').replace('/ws', `/v1/topics/${topic}`);
  await until(`${topic} has ${count} subscribers`, async () => {
    const answer = (await (await fetch(url)).json()) as { readonly subscribers: number };
    return answer.subscribers === count;
  });
}

it('runs in a clone without tarballs, and its exit code arrives', async () => {
  const npm = promisify(execFile)('npm', ['run', '--silent', 'fanfare', '--', 'shards', 'list', '--redis', 'a:1'], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  });
  await expect(npm).rejects.toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringMatching(/^fanfare: FANFARE_REDIS_URL is not a URL/),
  });
});

describe('fanfare publish', () => {
  it('takes a key, and --json shows it', async () => {
    const topic = newTopic();
    expect(await fanfare('publish', topic, '1', '--key', '42')).toMatchObject({ code: 0 });
    const input = `{"topic":"${topic}","data":null,"key":"43","remove":true}\n`;
    expect(await run(['publish', '--ndjson'], { env, input })).toMatchObject({ code: 0 });
    const bad = await run(['publish', '--ndjson'], { env, input: `{"topic":"${topic}","data":1,"key":"a b"}\n` });
    expect(bad).toMatchObject({ code: 1, err: expect.stringContaining('On line 1: key must be 1 to 64') });
    const keyed = '"data":1,"key":"42"}\n(.*)"data":null,"key":"43","remove":true}\n$';
    for (const command of [['history'], ['subscribe', '--last', '2', '-n', '2'], ['tap', '--last', '2', '-n', '2']]) {
      expect((await fanfare(...command, topic, '--json')).out).toMatch(new RegExp(keyed));
    }
    expect((await fanfare('tap', topic, '--last', '2', '-n', '2')).out).toMatch(/ {2}42: 1\n.* {2}43 removed: null\n$/);
  });

  it('prints the position', async () => {
    const topic = newTopic();
    expect(await fanfare('publish', topic, '{"text":"hello"}')).toEqual({
      code: 0,
      out: expect.stringMatching(/^\d{16}-1\n$/),
      err: '',
    });
    expect(await fanfare('publish', topic, 'null', '--json')).toMatchObject({
      code: 0,
      out: expect.stringMatching(new RegExp(`^\\{"topic":"${topic}","epoch":"\\d{16}","offset":2\\}\n$`)),
    });
    expect(await fanfare('publish', 'fast.a', '1')).toEqual({ code: 0, out: '*\n', err: '' });
    expect((await fanfare('history', topic)).out).toBe('{"text":"hello"}\nnull\n');
  });

  it('reads data and texts from standard input', async () => {
    const topic = newTopic();
    expect(await run(['publish', topic, '-'], { env, input: '{"a":\n[1]}\n' })).toMatchObject({ code: 0 });
    expect(await run(['publish', topic, '-', '--text'], { env, input: 'two\nlines\n' })).toMatchObject({ code: 0 });
    expect(await fanfare('publish', topic, '--text', '12')).toMatchObject({ code: 0 });
    expect((await fanfare('history', topic)).out).toBe('{"a":[1]}\n"two\\nlines"\n"12"\n');
  });

  it('publishes each line of standard input, in order', async () => {
    const topic = newTopic();
    const numbers = Array.from({ length: 3_000 }, (_, index) => index);
    const input = numbers.map((number) => `${number}\n\n`).join('');
    expect(await run(['publish', topic, '--ndjson'], { env, input })).toEqual({
      code: 0,
      out: '',
      err: '3,000 publications accepted.\n',
    });
    // The history keeps the newest ones.
    const kept = (await fanfare('history', topic, '--limit', '400')).out.trim().split('\n').map(Number);
    expect(kept).toEqual(numbers.slice(-400));
    const [one, other] = [newTopic(), newTopic()];
    const lines = `{"topic":"${one}","data":"a"}\n{"topic":"${other}","data":{"b":1}}\n`;
    const { code, out } = await run(['publish', '--ndjson', '--json'], { env, input: lines });
    const printed = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect([code, printed]).toEqual([
      0,
      [
        { topic: one, epoch: expect.any(String), offset: 1 },
        { topic: other, epoch: expect.any(String), offset: 1 },
      ],
    ]);
  });

  it('stops at the first wrong line, names it, and counts what was accepted', async () => {
    const topic = newTopic();
    const bad = await run(['publish', topic, '--ndjson'], { env, input: '1\n2\n{"x\n4\n' });
    expect(bad.code).toBe(2);
    expect(bad.err).toMatch(/^2 publications accepted\.\nfanfare: Line 3 is not JSON: "\{\\"x"\. .*\n$/);
    expect((await fanfare('history', topic)).out).toBe('1\n2\n');
    const refused = await run(['publish', '--ndjson'], {
      env,
      input: `{"topic":"${topic}","data":1}\n{"topic":"a b","data":1}\n`,
    });
    expect(refused.code).toBe(1);
    expect(refused.err).toMatch(/^1 publication accepted, 1 failed\.\nfanfare: On line 2: .*"a b".*\n$/);
    const unknown = await run(['publish', '--ndjson'], { env, input: `{"topic":"a","data":1,"messageId":"x"}\n` });
    expect(unknown).toMatchObject({ code: 2, err: expect.stringContaining('unknown field "messageId"') });
  });

  it.each([
    [['publish'], 'Name the topic'],
    [['publish', 't'], 'Give the data as JSON, or -'],
    [['publish', 't', 'hello'], 'is not JSON: "hello". Quote it for the shell'],
    [['publish', 't', '9007199254740993'], 'does not fit into a number of JavaScript'],
    [['publish', 't', '1', '--key', 'a b'], '--key must be 1 to 64 characters of printable ASCII without spaces.'],
    [['publish', 't', '1', '--remove'], '--remove needs --key.'],
    [['publish', 't', '--ndjson', '--key', 'a'], 'With --ndjson, give "key" and "remove" in each line'],
    [['publish', 't', '1', '--ndjson'], 'from standard input only'],
    [['publish', 't', '1', '--url', 'localhost:8080'], 'The URL has no scheme: write ws://localhost:8080'],
    [['publish', 't', '1', '--url', 'ftp://x'], 'The URL must begin with ws://'],
    [['publish', 't', '1', '--url', 'ws://user:pw@x'], 'must not contain a user or password'],
    [
      ['publish', 't', '1', '--token-file', '/no/such/file'],
      'Cannot read the token from /no/such/file: there is no such file.',
    ],
    [['publish', 't', '1', '--timeout', '0'], 'Give a number of seconds'],
    [['publish', 't', '1', '--tokn', 'x'], "unknown option '--tokn'\n(Did you mean --token?)"],
    [['history', 't', '--since', 'yesterday'], '--since must be a position such as'],
    [['history', 't', '--limit', '1.5'], 'Give a whole number of at least 1.'],
    [['subscribe', 't', '--since', '1-1', '--last', '2'], 'Use --since or --last, not both.'],
    [['subscribe', 'a', 'b', '--since', '1-1'], '--since has 1 positions for 2 topics'],
    [['subscribe'], "missing required argument 'topic'"],
    [['token', 'create', '--issuer', 'a'], "required option '--subject <id>' not specified"],
    [['publsh', 't', '1'], "unknown command 'publsh'\n(Did you mean publish?)"],
  ])('%j is wrong usage, and an error says why', async (args, sentence) => {
    const { code, out, err } = await fanfare(...args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(sentence);
  });

  it('says why there is no connection, at once and at the end', async () => {
    const { code, err } = await run(['publish', 't', '1', '--timeout', '1'], {
      env: { FANFARE_URL: 'ws://127.0.0.1:1' },
    });
    expect(code).toBe(1);
    expect(err).toMatch(/^ws:\/\/127\.0\.0\.1:1\/ws: .*ECONNREFUSED.* Retrying\.\nfanfare: .*\n$/);
  });
});

describe('fanfare subscribe', () => {
  it('prints the newest publications and those from now on, and ends after --count', async () => {
    const topic = newTopic();
    for (const data of ['1', '2', '3']) await fanfare('publish', topic, data);
    await using running = start(['subscribe', topic, '--last', '2', '-n', '3'], { env });
    await running.until('the history', ({ lines }) => lines.length === 2);
    await fanfare('publish', topic, '{"a":"\\u009b"}');
    expect(await running.end()).toEqual({ code: 0, out: '2\n3\n{"a":"\\u009b"}\n', err: '' });
  });

  it('prints positions with --json, and continues after one', async () => {
    const [one, other] = [newTopic(), newTopic()];
    const first = (await fanfare('publish', one, '1')).out.trim();
    await fanfare('publish', one, '2');
    const second = (await fanfare('publish', other, '1')).out.trim();
    await fanfare('publish', other, '"b"');
    const { code, out } = await run(
      ['subscribe', one, other, '--json', '--since', `${first}.${second}`, '--count', '2'],
      { env },
    );
    const printed = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(code).toBe(0);
    expect(printed.toSorted((a, b) => [one, other].indexOf(a.topic) - [one, other].indexOf(b.topic))).toEqual([
      { topic: one, epoch: first.split('-')[0], offset: 2, data: 2 },
      { topic: other, epoch: second.split('-')[0], offset: 2, data: 'b' },
    ]);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('ends with 0 on %s', async (signal) => {
    const topic = newTopic();
    await using running = start(['subscribe', topic], { env });
    await subscribers(topic, 1);
    running.child.kill(signal);
    expect(await running.end()).toEqual({ code: 0, out: '', err: '' });
    await subscribers(topic, 0);
  });

  it('ends quietly when its reader ends', async () => {
    const topic = newTopic();
    await using running = shell(`fanfare subscribe ${topic} --last 1 | head -n 1; echo "codes \${PIPESTATUS[*]}"`, env);
    await subscribers(topic, 1);
    for (let count = 0; count < 1_000 && !running.out.includes('codes'); count++) await fanfare('publish', topic, '1');
    expect(await running.end()).toEqual({ code: 0, out: '1\ncodes 0 0\n', err: '' });
  });

  it('reconnects, misses nothing, and says both', async () => {
    const topic = newTopic();
    await using way = await FaultProxy.start({ targetPort: Number(new URL(cluster.node().url).port) });
    await using running = start(['subscribe', topic], { env: { FANFARE_URL: `ws://${way.address}` } });
    await subscribers(topic, 1);
    await fanfare('publish', topic, '1');
    await running.until('the first', ({ lines }) => lines.length === 1);
    await way.refuse();
    await running.until('the note', ({ err }) => err.includes('Retrying.'));
    await fanfare('publish', topic, '2');
    await way.heal();
    // The two outputs may arrive in any order.
    await running.until('the second', ({ lines, err }) => lines.length === 2 && err.includes('Connected'));
    expect(running.lines).toEqual(['1', '2']);
    expect(running.err).toMatch(/^ws:\/\/\S+\/ws: .* Retrying\.\nConnected to \S+\.\n$/);
  });

  it('notes an outage of Redis once, and its end', async () => {
    await using own = await startCluster({ redis: true });
    const node = own.node();
    await own.redis.stop();
    await until('the node has noticed', async () => (await node.readiness()).status === 503);
    await using running = start(['subscribe', 'a', 'b'], { env: { FANFARE_URL: node.url } });
    await until(
      'each topic was refused several times',
      async () => (await node.metric('fanfare_commands_unavailable_total')) > 8,
    );
    await own.redis.restart();
    await running.until('the end', ({ err }) => err.includes('Subscribed'));
    expect(running.err).toMatch(/^fanfare: [ab]: [^\n]*Redis does not respond[^\n]*\nSubscribed to all topics\.\n$/);
    await run(['publish', 'b', '1'], { env: { FANFARE_URL: node.url } });
    await running.until('a publication', ({ lines }) => lines.length === 1);
  });

  it('reports losses: a line with --json, otherwise on standard error', async () => {
    const topic = newTopic();
    await fanfare('publish', topic, '1');
    const since = '1-7';
    const plain = start(['subscribe', topic, '--since', since], { env });
    await plain.until('the reset', ({ err }) => err.includes('new history'));
    await plain[Symbol.asyncDispose]();
    await using json = start(['subscribe', topic, '--since', since, '--json'], { env });
    await json.until('the reset', ({ lines }) => lines.length === 1);
    expect(JSON.parse(json.lines[0] ?? '')).toEqual({ event: 'reset', topic, epoch: expect.any(String), offset: 1 });
  });

  it('fails if the node refuses the topic', async () => {
    const { code, out, err } = await fanfare('subscribe', 'a..b');
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(/^fanfare: "a\.\.b" is not a valid topic: .*\n$/);
  });
});

describe('fanfare history', () => {
  it('prints the newest, those after a position, and those before one', async () => {
    const topic = newTopic();
    const input = Array.from({ length: 20 }, (_, index) => `${index + 1}\n`).join('');
    await run(['publish', topic, '--ndjson'], { env, input });
    const newest = await fanfare('history', topic, '-l', '3');
    expect(newest).toMatchObject({ code: 0, out: '18\n19\n20\n' });
    const head = /up to (\d+-20)\.\n$/.exec(newest.err)?.[1] ?? '';
    const at = (offset: number): string => head.replace(/-20$/, `-${offset}`);
    expect(await fanfare('history', topic, '--since', at(17))).toMatchObject({ code: 0, out: '18\n19\n20\n' });
    expect(await fanfare('history', topic, '--since', at(4), '-l', '2')).toMatchObject({
      code: 0,
      out: '5\n6\n',
      err: `2 publications, up to ${at(6)}. The newest is ${head}.\n`,
    });
    expect((await fanfare('history', topic, '--before', at(4), '-l', '2')).out).toBe('2\n3\n');
    expect((await fanfare('history', topic, '--before', at(4))).out).toBe('1\n2\n3\n');
    const [line = ''] = (await fanfare('history', topic, '--json', '-l', '1')).out.split('\n');
    expect(JSON.parse(line)).toEqual({ topic, epoch: head.split('-')[0], offset: 20, data: 20 });
    expect(await fanfare('history', newTopic())).toMatchObject({ code: 0, out: '' });
  });

  it('says that publications are missing, and that a topic keeps none', async () => {
    const topic = newTopic();
    await fanfare('publish', topic, '1');
    expect((await fanfare('history', topic, '--since', '1-7')).err).toContain('publications after 1-7 are missing');
    expect(await fanfare('history', 'fast.a')).toMatchObject({
      code: 1,
      err: expect.stringContaining('keeps no history'),
    });
  });
});

describe('fanfare topics and tap', () => {
  it('list topics, and describe them', async () => {
    const prefix = `list${++topics}`;
    for (const name of ['a', 'b']) await fanfare('publish', `${prefix}.${name}`, '1');
    const listed = await fanfare('topics', `${prefix}.`);
    expect([listed.code, listed.out.split('\n').toSorted()]).toEqual([0, ['', `${prefix}.a`, `${prefix}.b`]]);
    const json = (await fanfare('topics', `${prefix}.a`, '--details', '--json')).out;
    expect(JSON.parse(json)).toMatchObject({ topic: `${prefix}.a`, level: 'recoverable', offset: 1, subscribers: 0 });
    expect((await fanfare('topics', `${prefix}.a`, '--details')).out).toMatch(
      new RegExp(`^${prefix}\\.a: recoverable, at \\d+-1, 0 subscribers on 1 node\n$`),
    );
    expect(await fanfare('topics', 'a*')).toMatchObject({ code: 1, err: expect.stringContaining('prefix must be') });
  });

  it('watch publications in a pipe: plain lines with time, offset and size', async () => {
    const topic = newTopic();
    const long = JSON.stringify('x'.repeat(200));
    for (const data of ['1', long]) await fanfare('publish', topic, data);
    const { code, out, err } = await fanfare('tap', topic, '--last', '2', '-n', '2');
    expect(code).toBe(0);
    const lines = out.split('\n');
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {10,}1 +1 B {2}1$/);
    expect(lines[1]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} +\+\d+ ms +2 +202 B {2}"x{200}"$/);
    expect(err).toMatch(
      /^t\d+: recoverable, at \d+-2, 0 subscribers on 1 node\n2 publications, 203 B in [\d.]+ s\.\n$/,
    );
    const json = await fanfare('tap', topic, '--last', '1', '-n', '1', '--json');
    expect(json.err).toBe('');
    expect(JSON.parse(json.out)).toMatchObject({ topic, offset: 2, bytes: 202, receivedAt: expect.any(String) });
  });

  it('use colors at a terminal, and no line is longer than it', async () => {
    const topic = newTopic();
    await fanfare('publish', topic, JSON.stringify('x'.repeat(200)));
    const args = ['tap', topic, '--last', '1', '-n', '1'];
    const { code, out } = await atTerminal(args, env).end();
    expect(code).toBe(0);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colors.
    const color = /\u001b\[\d+m/g;
    expect(out).toMatch(color);
    const line = out.split(/\r?\n/).find((text) => text.includes('xxx')) ?? '';
    expect(line.replace(color, '').length).toBeLessThanOrEqual(80);
    expect(line).toMatch(/x…$/);
    expect((await atTerminal(args, { ...env, NO_COLOR: '1' }).end()).out).not.toMatch(color);
  });
});

describe('with authentication', () => {
  let guarded: TestCluster;
  let secretFile: string;
  beforeAll(async () => {
    guarded = await startCluster({ env: { FANFARE_AUTH: auth } });
    secretFile = join(folder, 'secret');
    await writeFile(secretFile, `${secret}\n`);
  });
  afterAll(() => guarded[Symbol.asyncDispose]());

  const create = ['token', 'create', '--issuer', 'my-app', '--subject', 'ada'];

  it('a token from the secret of the issuer permits what it says', async () => {
    const { code, out: token, err } = await run([...create, '--secret-file', secretFile, '--publish', 'chat.>'], {});
    expect([code, err]).toEqual([0, '']);
    const url = { FANFARE_URL: guarded.node().url };
    const use = { ...url, FANFARE_TOKEN: token };
    expect(await run(['publish', 'chat.a', '1'], { env: use })).toMatchObject({ code: 0 });
    expect(await run(['publish', 'news', '1'], { env: use })).toEqual({
      code: 1,
      out: '',
      err: 'fanfare: The token does not grant permission to publish to news.\n',
    });
    expect(await run(['topics'], { env: use })).toMatchObject({ code: 1, err: expect.stringContaining('API key') });
    const file = join(folder, 'key');
    await writeFile(file, `${service.key}\n`);
    expect((await run(['topics', '--token-file', file], { env: url })).out).toBe('chat.a\n');
    const without = await run(['publish', 'chat.a', '1', '--timeout', '2'], { env: url });
    expect(without).toMatchObject({ code: 1, err: expect.stringMatching(/^fanfare: /) });
  });

  it('a token is explained, and its problems are', async () => {
    const { out: token } = await run([...create, '--subscribe', '>', 'a.b', '--expires', '1h'], {
      env: { FANFARE_SECRET: secret },
    });
    const { code, out } = await run(['token', 'decode'], { input: token });
    expect(code).toBe(0);
    expect(out).toMatch(
      /^A JWT, signed with HS256\.\nIssuer: my-app\. Subject: ada\.\nId for revocation: \S+\.\nIssued .* ago\)\.\nExpires .* \(in 60 min\)\.\nMay subscribe to and read: >, a\.b\.\n$/,
    );
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const old = `${part({ alg: 'HS512' })}.${part({ iss: 'a', exp: 1_000 })}.`;
    const bad = await run(['token', 'decode', old]);
    expect(bad).toMatchObject({ code: 1, err: 'fanfare: No node accepts this token.\n' });
    for (const sentence of [
      'Its algorithm is HS512.',
      'It has no subject',
      'It has expired: 1970-01-01',
      'It permits nothing',
    ])
      expect(bad.out).toContain(sentence);
    expect((await run(['token', 'decode'], { env: { FANFARE_TOKEN: service.key } })).out).toContain('service "ops"');
    expect(await run(['token', 'decode'], { input: 'x' })).toMatchObject({ code: 1 });
    expect(await run(['token', 'decode'], { input: '' })).toMatchObject({ code: 2 });
  });

  it.each([
    [[], 'The token would permit nothing.'],
    [['--publish', 'a'], 'Name the key of the issuer'],
    [['--publish', 'a', '--secret', 'short'], 'shorter than 32 bytes'],
    [['--publish', 'a', '--key-file', '/etc/hostname'], 'has no private key in PEM'],
    [['--publish', 'a', '--expires', '10'], 'Give a duration such as 90s'],
  ])('token create %j is wrong usage', async (args, sentence) => {
    const { code, out, err } = await run([...create, ...args]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(sentence);
  });
});

describe('fanfare node', () => {
  it('starts a node, which drains on SIGINT', async () => {
    await using running = start(['node'], {
      // The variables of the other commands, which a node would refuse.
      env: { FANFARE_PORT: '0', FANFARE_ADMIN_PORT: '0', FANFARE_URL: 'ws://x', FANFARE_TOKEN: 'x' },
    });
    await running.until('it listens', ({ out }) => out.includes('"listening"'));
    const port = /"port":(\d+)/.exec(running.out)?.[1];
    const url = { FANFARE_URL: `ws://127.0.0.1:${port}` };
    expect(await run(['publish', 't', '1'], { env: url })).toMatchObject({ code: 0 });
    running.child.kill('SIGINT');
    expect((await running.end()).code).toBe(0);
  });

  it('has its own help, and makes API keys', async () => {
    expect((await run(['node', '--help'])).out).toContain('FANFARE_REDIS_URL');
    expect((await run(['api-key', 'orders'])).out).toContain('fk_orders_');
    expect(await run(['node', '--unknown'])).toMatchObject({ code: 2 });
  });
});

describe('fanfare bench', () => {
  it('has the help of the load generator under its own name', async () => {
    const { code, out } = await run(['bench', '--help']);
    expect(code).toBe(0);
    expect(out).toContain('usage: fanfare bench <scenario> [options]');
    expect(out).not.toContain('npm run loadtest');
    expect(await run(['bench', 'fan-uot'])).toMatchObject({ code: 2, err: expect.stringContaining('fan-out') });
  });

  it('puts a load on the broker of FANFARE_URL', async () => {
    const args = ['bench', 'fan-out', '--subscribers', '2', '--rate', '10', '--seconds', '1', '--json', '-'];
    const { code, out } = await run(args, { env });
    expect(out).toContain('"command": "fanfare bench fan-out --subscribers 2');
    // A busy machine may make the latencies invalid, which is 1.
    expect([0, 1]).toContain(code);
  });
});

describe('the help', () => {
  const commands = createProgram().commands.flatMap((command) => [
    [command.name()],
    ...command.commands.map((sub) => [command.name(), sub.name()]),
  ]);
  it.each(commands.filter(([name]) => name !== 'node' && name !== 'api-key' && name !== 'bench'))(
    'of %s %s has examples',
    async (...words) => {
      const { code, out, err } = await run([...words, '--help']);
      expect([code, err]).toEqual([0, '']);
      expect(out).toContain(`Usage: fanfare ${words.join(' ')}`);
      expect(out).toMatch(/^Examples:\n {2}\S/m);
    },
  );

  it('is printed, with code 2, if there is no command', async () => {
    expect(await run([])).toMatchObject({ code: 2, err: expect.stringContaining('Usage: fanfare') });
    expect(await run(['--help'])).toMatchObject({ code: 0, out: expect.stringContaining('FANFARE_TOKEN') });
    expect(await run(['--version'])).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });
});
