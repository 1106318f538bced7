/** Repeats the position of each topic that has become idle. So a node that missed the last publication finds out. */
import type { RedisMessage } from '../redis/redis.js';
import type { GenerationSource } from './generation.js';
import type { Keys } from './keys.js';
import type { MemoryTimes } from './memory-times.js';
import type { PublishLog } from './publish-log.js';
import type { RedisClock } from './redis-clock.js';
import type { SharedTimers } from './shared-timers.js';

/** The connection that publishes, as this file needs it. */
interface BeaconLink {
  publish(messages: readonly RedisMessage[]): Promise<unknown>;
}

export interface BeaconCounters {
  beaconsSent: number;
}

interface BeaconSettings {
  readonly memoryTimes: Pick<MemoryTimes, 'maxHeartbeatMs'>;
}

export class Beacons {
  readonly #end: () => void;
  /** The time at which the last period of the log ended. */
  #endedAt = 0;

  constructor(
    { memoryTimes }: BeaconSettings,
    private readonly log: PublishLog,
    private readonly link: BeaconLink,
    private readonly keys: Keys,
    private readonly generations: GenerationSource,
    private readonly clock: RedisClock,
    private readonly counters: BeaconCounters,
    timers: SharedTimers,
  ) {
    this.#end = timers.every(memoryTimes.maxHeartbeatMs, () => this.#send());
  }

  close(): void {
    this.#end();
  }

  #send(): void {
    const clockMs = this.clock.newestMs;
    // While heartbeats get no answer, Redis may be losing data that this node remembers. So forget nothing.
    if (this.generations.generation === null || clockMs === this.#endedAt) return;
    this.#endedAt = clockMs;
    const messages = this.log.endPeriod().map(({ topic, epoch, offset }) => {
      return { channel: this.keys.topic(topic), message: Buffer.from(`${epoch}-${offset}`) };
    });
    if (messages.length === 0) return;
    this.counters.beaconsSent += messages.length;
    void this.link.publish(messages);
  }
}
