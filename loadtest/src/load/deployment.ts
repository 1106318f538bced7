/** The target of a load: servers that were started for it, or a running broker. */
import type { Target } from '@fanfare/kit/broker-url';

export interface DeployedProcess {
  readonly name: string;
  readonly role: 'server' | 'redis';
  readonly pid: number;
}

export interface Deployment extends AsyncDisposable {
  readonly targets: readonly Target[];
  /** Local processes whose CPU and memory can be read; empty if the target runs elsewhere. */
  readonly processes: readonly DeployedProcess[];
  /** Reads `INFO stats` of the Redis that was started for it; null if there is none. */
  readonly readRedisStats: (() => Promise<string>) | null;
  /** URLs of the metrics of Fanfare's nodes. */
  readonly metricsUrls: readonly string[];
}

/** A server that listens on this machine. */
export function localTarget(port: number): Target {
  return { host: '127.0.0.1', port, isTls: false, path: null, token: null };
}

/** A broker that already runs elsewhere. */
export function remoteDeployment(target: Target): Deployment {
  return {
    targets: [target],
    processes: [],
    readRedisStats: null,
    metricsUrls: [],
    [Symbol.asyncDispose]: async () => {},
  };
}
