import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig, settings } from '../src/config.js';
import { helpText } from '../src/pages.js';

/** The sentences that stop the start. */
function wrong(environment: Record<string, string>): readonly string[] {
  try {
    loadConfig(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.sentences;
    throw error;
  }
  return [];
}

describe('the configuration', () => {
  it('needs nothing', () => {
    expect(loadConfig({})).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      adminPort: 8081,
      redisUrl: null,
      auth: null,
    });
  });

  it('takes a value for every setting', () => {
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
    ['FANFARE_PORT', '80 80', 'FANFARE_PORT must be an integer from 0 to 65535, not "80 80".'],
    ['FANFARE_PORT', '65536', 'FANFARE_PORT must be an integer from 0 to 65535, not "65536".'],
    ['FANFARE_PORT', '1e3', 'FANFARE_PORT must be an integer from 0 to 65535, not "1e3".'],
    ['FANFARE_IDLE_TIMEOUT_SECONDS', '7', 'FANFARE_IDLE_TIMEOUT_SECONDS must be an integer from 8 to 960, not "7".'],
    ['FANFARE_AUTH', 'yes', 'FANFARE_AUTH must be "none", not "yes".'],
    ['FANFARE_LOG_FORMAT', 'xml', 'FANFARE_LOG_FORMAT must be "json" or "pretty", not "xml".'],
    [
      'FANFARE_LOG_LEVEL',
      'loud',
      'FANFARE_LOG_LEVEL must be "debug", "info", "warn", "error" or "silent", not "loud".',
    ],
    ['FANFARE_REDIS_PREFIX', 'a b', 'FANFARE_REDIS_PREFIX must be 1 to 64 characters of A-Z a-z 0-9 _ - :, not "a b".'],
  ])('says what is wrong with %s=%s', (name, value, sentence) => {
    expect(wrong({ [name]: value })).toEqual([sentence]);
  });

  it('does not print a Redis URL, which may hold a password', () => {
    expect(wrong({ FANFARE_REDIS_URL: 'http://:secret@host' })).toEqual([
      'FANFARE_REDIS_URL must be a URL such as redis://user:password@host:6379 (or rediss:// for TLS).',
    ]);
  });

  it('names a variable that is no setting, and the setting that was meant', () => {
    expect(wrong({ FANFARE_PROT: '1' })).toEqual(['FANFARE_PROT is no setting; did you mean FANFARE_PORT?']);
    expect(wrong({ FANFARE_SOMETHING_ELSE: '1' })).toEqual([
      'FANFARE_SOMETHING_ELSE is no setting; see docs/configuration.md for those there are.',
    ]);
  });

  it('says everything that is wrong at once', () => {
    expect(wrong({ FANFARE_PORT: 'x', FANFARE_AUTH: 'x', FANFARE_X: 'x' }).length).toBe(3);
  });

  it('opens the node to others only where that is said aloud', () => {
    expect(wrong({ FANFARE_HOST: '0.0.0.0' })).toEqual([
      'FANFARE_HOST=0.0.0.0 opens the node to others without authentication: set FANFARE_AUTH=none if that is what you want, or bind to 127.0.0.1.',
    ]);
    expect(wrong({ FANFARE_HOST: '0.0.0.0', FANFARE_AUTH: 'none' })).toEqual([]);
    expect(wrong({ FANFARE_HOST: 'localhost' })).toEqual([]);
    expect(wrong({ FANFARE_HOST: '127.0.0.2' })).toEqual([]);
  });

  it('wants two different ports', () => {
    expect(wrong({ FANFARE_PORT: '9000', FANFARE_ADMIN_PORT: '9000' })).toEqual([
      'FANFARE_PORT and FANFARE_ADMIN_PORT are both 9000: give each a port of its own.',
    ]);
    expect(wrong({ FANFARE_PORT: '0', FANFARE_ADMIN_PORT: '0' })).toEqual([]);
  });

  it('recognises what Kubernetes sets for a Service named "fanfare"', () => {
    expect(wrong({ FANFARE_SERVICE_HOST: '10.0.0.1', FANFARE_PORT_8080_TCP: 'tcp://10.0.0.1:8080' })).toEqual([]);
    expect(wrong({ FANFARE_PORT: 'tcp://10.0.0.1:8080' })).toEqual([
      'FANFARE_PORT is "tcp://10.0.0.1:8080", which Kubernetes sets for a Service of that name: set enableServiceLinks: false in the pod, or name the Service otherwise.',
    ]);
  });

  it.each([
    ['frame to a node', settings.maxFrameBytes],
    ['subscriptions of a connection', settings.maxSubscriptions],
    ['unread bytes of a connection', settings.maxBufferedBytes],
    ['silence of a client', settings.idleTimeoutSeconds],
    ['publications that wait for Redis', settings.maxRelayBytes],
  ])('has the default that PROTOCOL.md section 7 promises for: %s', (limit, setting) => {
    const protocol = readFileSync(new URL('../../protocol/PROTOCOL.md', import.meta.url), 'utf8');
    const row = protocol.split('\n').find((line) => line.startsWith(`| ${limit}`));
    expect(/default (\d+)/.exec(row ?? '')?.[1]).toBe(setting.fallback);
  });

  it('is listed whole by --help', () => {
    for (const { name } of Object.values(settings)) expect(helpText()).toContain(`  ${name}\n`);
  });
});
