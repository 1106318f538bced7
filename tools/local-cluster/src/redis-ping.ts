/** Checks whether a Redis answers, without a client library. */
import { connect } from 'node:net';

interface RedisAnswer {
  /** Process id of the server that answered; null if unknown: it requires a password, or has no INFO. */
  readonly pid: number | null;
}

/** Null if nothing listens, nothing answers in time, or Redis is still loading its data. */
export function pingRedis(host: string, port: number, timeoutMs = 1_000): Promise<RedisAnswer | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let received = '';
    const finish = (answer: RedisAnswer | null): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(timeoutMs, () => finish(null));
    socket.on('error', () => finish(null));
    socket.on('close', () => finish(null));
    socket.on('connect', () => socket.write('PING\r\nINFO server\r\n'));
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      const pid = /\r\nprocess_id:(\d+)\r\n/.exec(received)?.[1];
      if (pid !== undefined) finish({ pid: Number(pid) });
      else if (received.startsWith('-LOADING')) finish(null);
      else if (/^[-+][^\r]*\r\n-[^\r]*\r\n/.test(received)) finish({ pid: null });
    });
  });
}
