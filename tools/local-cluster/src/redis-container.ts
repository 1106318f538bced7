/** A Redis in a container, for machines with Docker and without `redis-server`. */
import type { RedisProcess } from './redis.js';

const image = 'redis:7.0-alpine';
const redisPort = 6379;

export async function startRedisContainer(args: readonly string[], port: number): Promise<RedisProcess> {
  const { GenericContainer, getContainerRuntimeClient } = await import('testcontainers');
  const started = await new GenericContainer(image)
    // A fixed port on the host survives a restart; one that Docker chooses does not.
    .withExposedPorts({ container: redisPort, host: port })
    .withCommand(['redis-server', '--save', '', ...args])
    .start();
  const client = await getContainerRuntimeClient();
  const container = client.container.getById(started.getId());
  const host = started.getHost();
  const isRunning = async (): Promise<boolean> => (await container.inspect()).State.Running;
  return {
    url: `redis://${host}:${port}`,
    port,
    get pid(): number {
      throw new Error('The process id of a Redis in a container is unknown.');
    },
    logs: () => [],
    stop: async () => {
      if (await isRunning()) await container.stop();
    },
    kill: async () => {
      if (await isRunning()) await container.kill();
    },
    pause: () => container.pause(),
    resume: () => container.unpause(),
    restart: async () => {
      await container.restart();
    },
    [Symbol.asyncDispose]: async () => {
      await started.stop({ timeout: 0, remove: true, removeVolumes: true });
    },
  };
}
