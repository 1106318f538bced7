/**
 * The overlay sentinel against real Redis and a real Sentinel with TLS: its settings and its Secret, with addresses of
 * this machine.
 */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { findFreePort, hasKubectl, renderOverlay, startRedis, startSentinel } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { createApiKey } from '../../broker/src/auth/api-keys.js';
import { CertificateFolder } from '../../broker/test/certificates.js';
import { startNode } from '../../broker/test/harness.js';
import { MountedFolder } from '../../broker/test/mounted-folder.js';
import { TestConnection } from '../../broker/test/test-connection.js';
import { until } from '../../broker/test/wait.js';
import { environmentWith } from '../../k8s/test/mounted-files.js';
import { readDeployment } from '../../tools/verify/src/rollout/deployment-spec.js';
import { root } from './image.js';
import { missingPrograms } from './programs.js';

const page = readFileSync(join(root, 'docs/operations.md'), 'utf8');
const [, rules = ''] = /^ACL SETUSER fanfare reset on >password (.*)$/m.exec(page) ?? [];
const [, sentinelTls = ''] = /```\n(tls-port 26379\n[^`]*)```/.exec(page) ?? [];

const missing = missingPrograms('redis-server', 'openssl') + (hasKubectl() ? '' : '. Not here: kubectl.');

describe.skipIf(missing !== '')(`k8s/overlays/sentinel${missing}`, () => {
  it('connects to Redis and the Sentinels only by TLS, also after a failover and a change of the Secret', async () => {
    // Valid for the host name only, like a certificate of cert-manager.
    using certificate = new CertificateFolder('redis', 90, 'DNS:localhost');
    const tls = ['--tls-cert-file', certificate.certFile, '--tls-key-file', certificate.keyFile].concat([
      ...['--tls-ca-cert-file', certificate.certFile, '--tls-auth-clients', 'no', '--tls-replication', 'yes'],
      ...['--masterauth', 'of the servers', '--requirepass', 'of the servers', '--repl-diskless-sync-delay', '0'],
      ...['--user', 'fanfare', 'on', '>old/1', '>new+2', ...rules.split(' ')],
    ]);
    const [masterPort, replicaPort, sentinelPort] = [await findFreePort(), await findFreePort(), await findFreePort()];
    await using master = await startRedis({ args: ['--tls-port', String(masterPort), ...tls] });
    await using replica = await startRedis({
      args: ['--tls-port', String(replicaPort), ...tls, '--replica-announce-ip', 'localhost'].concat([
        ...['--replicaof', `localhost ${masterPort}`],
      ]),
    });
    // The ones from the documentation, with a port of this machine.
    const documented = sentinelTls
      .trim()
      .replace('26379', String(sentinelPort))
      .replace('/etc/redis/tls.crt', certificate.certFile)
      .replace('/etc/redis/tls.key', certificate.keyFile)
      .replace('/etc/redis/ca.crt', certificate.certFile);
    await using sentinel = await startSentinel({
      masterName: 'mymaster',
      masterHost: 'localhost',
      masterPort,
      lines: [...documented.split('\n'), 'sentinel auth-pass mymaster "of the servers"'],
    });
    const login = { password: 'of the servers' };
    const [atMaster, atReplica] = [
      new Redis({ port: master.port, ...login }),
      new Redis({ port: replica.port, ...login }),
    ];
    const atSentinel = new Redis({ port: sentinel.port });
    // A failover closes connections.
    for (const each of [atMaster, atReplica, atSentinel]) each.on('error', () => undefined);
    await until('the Sentinel knows the replica', async () => /slaves=1/.test(await atSentinel.info('sentinel')));

    const { key, entry } = createApiKey('test');
    const permissions = { publish: ['>'], subscribe: ['>'] };
    const secret = {
      'redis-password': 'old/1',
      'redis-ca.crt': certificate.ca.toString(),
      auth: JSON.stringify({ apiKeys: [{ ...entry, permissions }] }),
    };
    using folder = new MountedFolder(secret);
    const given = readDeployment(await renderOverlay('sentinel')).environment('fanfare-0');
    const url = given['FANFARE_REDIS_URL']?.replace(/(?<=@).*(?=\/)/, `localhost:${sentinelPort}`) ?? '';
    const env: Record<string, string> = {
      ...environmentWith(given, (path) => folder.file(basename(path))),
      FANFARE_REDIS_URL: url,
      // As the operator must do, with addresses of this machine.
      ...{ FANFARE_TRUSTED_PROXIES: '127.0.0.1', FANFARE_HOST: '127.0.0.1', FANFARE_ADMIN_HOST: '127.0.0.1' },
    };
    const node = await startNode(env);
    const isReady = async (): Promise<boolean> => (await node.readiness()).status === 200;
    await until('the node is ready', isReady);
    const reader = await TestConnection.open(node.url, 'json', { headers: { Authorization: `Bearer ${key}` } });
    expect(await reader.subscribe('t')).toMatchObject({ type: 'subscribed' });
    const deliver = async (data: string): Promise<void> => {
      await until('it is published', async () => (await reader.publish('t', data)).type === 'published');
      expect(await reader.take('t', 1)).toEqual([data]);
    };
    await deliver('with TLS');
    /** The server ports to which the node is connected. */
    const portsAt = async (server: Redis): Promise<Set<string>> =>
      new Set(
        [...String(await server.client('LIST')).matchAll(/ laddr=\S+?:(\d+) .* name=fanfare:/g)].map(
          ([, port = '']) => port,
        ),
      );
    expect(await portsAt(atMaster)).toEqual(new Set([String(masterPort)]));
    expect(await portsAt(atSentinel)).toEqual(new Set([String(sentinelPort)]));

    await until('a failover begins', () => atSentinel.call('SENTINEL', 'FAILOVER', 'mymaster').catch(() => null));
    await until('the node uses the new master', async () => (await portsAt(atReplica)).has(String(replicaPort)));
    await until('the node is ready', isReady);
    await deliver('after the failover');
    expect(await portsAt(atReplica)).toEqual(new Set([String(replicaPort)]));

    folder.update({ ...secret, 'redis-password': 'new+2' });
    await until('the new password is accepted', () =>
      node.log.some(({ event }) => event === 'redisCredentialsAccepted'),
    );
    expect(node.log.filter(({ event }) => event === 'redisError' || event === 'sentinelRefused')).toEqual([]);
    await reader.close();
    await node.broker.drain();
    for (const each of [atMaster, atReplica, atSentinel]) each.disconnect();
  });
});
