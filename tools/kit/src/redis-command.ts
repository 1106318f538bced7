/** One command for Redis, without a client library: a connection, the command, its answer. */
import { connect } from 'node:net';

export type RedisReply = string | number | null | readonly RedisReply[];

/** Rejects where Redis answers with an error, with nothing in time, or not at all. */
export function redisCommand(port: number, args: readonly string[], timeoutMs = 5_000): Promise<RedisReply> {
  const name = args.join(' ');
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    let received = Buffer.alloc(0);
    const finish = (settle: () => void): void => {
      socket.destroy();
      settle();
    };
    const fail = (reason: string): void => finish(() => reject(new Error(`Redis, ${name}: ${reason}`)));
    socket.setTimeout(timeoutMs, () => fail(`no answer within ${timeoutMs} ms`));
    socket.on('error', ({ message }) => fail(message));
    socket.on('end', () => fail('the connection was closed'));
    socket.on('connect', () => socket.write(encode(args)));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      try {
        const answer = readReply(received, 0);
        if (answer !== null) finish(() => resolve(answer.reply));
      } catch (error) {
        fail((error as Error).message);
      }
    });
  });
}

function encode(args: readonly string[]): string {
  return `*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join('')}`;
}

/** The reply that begins at `at` and where it ends; null where it is not complete. Throws what Redis says is wrong. */
export function readReply(bytes: Buffer, at: number): { readonly reply: RedisReply; readonly end: number } | null {
  const lineEnd = bytes.indexOf('\r\n', at);
  if (lineEnd < 0) return null;
  const line = bytes.toString('utf8', at + 1, lineEnd);
  const next = lineEnd + 2;
  switch (String.fromCharCode(bytes[at] ?? 0)) {
    case '+':
      return { reply: line, end: next };
    case ':':
      return { reply: Number(line), end: next };
    case '-':
      throw new Error(line);
    case '$': {
      const length = Number(line);
      if (length < 0) return { reply: null, end: next };
      if (bytes.length < next + length + 2) return null;
      return { reply: bytes.toString('utf8', next, next + length), end: next + length + 2 };
    }
    case '*': {
      const items: RedisReply[] = [];
      let end = next;
      for (let count = Number(line); count > 0; count--) {
        const item = readReply(bytes, end);
        if (item === null) return null;
        items.push(item.reply);
        end = item.end;
      }
      return { reply: items, end };
    }
    default:
      throw new Error(`not a reply: ${bytes.toString('latin1', at, lineEnd)}`);
  }
}

/** Calls of each command since Redis began, by name in lower case. */
export async function readCommandCalls(port: number): Promise<ReadonlyMap<string, number>> {
  const info = String(await redisCommand(port, ['INFO', 'commandstats']));
  return new Map(
    [...info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name = '', calls]) => [name, Number(calls)]),
  );
}
