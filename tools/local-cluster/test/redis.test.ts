/** The Redis that tests start: it starts, stops, restarts, and leaves nothing behind. */
import { access, readlink } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { pingRedis, startRedis } from '../src/index.js';

describe('startRedis', () => {
  it('responds, can be killed, and restarts on its port', async () => {
    await using redis = await startRedis();
    expect(await pingRedis('127.0.0.1', redis.port)).toEqual({ pid: redis.pid });
    expect(redis.url).toBe(`redis://127.0.0.1:${redis.port}`);

    const { pid } = redis;
    await redis.kill();
    expect(isAlive(pid)).toBe(false);
    expect(await pingRedis('127.0.0.1', redis.port)).toBeNull();

    await redis.restart();
    expect(redis.pid).not.toBe(pid);
    expect(await pingRedis('127.0.0.1', redis.port)).toEqual({ pid: redis.pid });
  });

  it('hangs while it is paused', async () => {
    await using redis = await startRedis();
    await redis.pause();
    expect(await pingRedis('127.0.0.1', redis.port, 50)).toBeNull();
    await redis.resume();
    expect(await pingRedis('127.0.0.1', redis.port)).toEqual({ pid: redis.pid });
  });

  it('leaves no process and no files', async () => {
    const redis = await startRedis({ args: ['--appendonly', 'yes'] });
    const { pid } = redis;
    const folder = await readlink(`/proc/${pid}/cwd`);
    await access(`${folder}/appendonlydir`);
    await redis[Symbol.asyncDispose]();
    expect(isAlive(pid)).toBe(false);
    await expect(access(folder)).rejects.toThrow('ENOENT');
  });

  it('stops when asked to, even while it is paused', async () => {
    await using redis = await startRedis();
    const { pid } = redis;
    await redis.pause();
    await redis.stop();
    expect(isAlive(pid)).toBe(false);
  });

  it('reports why it cannot start', async () => {
    await expect(startRedis({ args: ['--maxmemory', 'plenty'] })).rejects.toThrow(/ended before it answered.*plenty/s);
  });

  it('fails to start if another Redis has its port', async () => {
    await using redis = await startRedis();
    await expect(startRedis({ port: redis.port })).rejects.toThrow(/Address already in use/);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
