/** Whether publications reach the other nodes: for publishers, and for /readyz. */
import type { Level } from '../topics/policy.js';
import type { GenerationSource } from './generation.js';
import type { RelayState } from './relay.js';

/** What the status depends on, as this file needs it. */
interface RelayStatusSources {
  readonly links: {
    readonly publisher: { readonly isReady: boolean };
    /** Null if no topic is `durable`. */
    readonly durable: { readonly isReady: boolean } | null;
    readonly subscriber: { readonly isReady: boolean };
    /** Whether Redis refuses publications because it is full. */
    readonly isOutOfMemory: boolean;
  };
  /** Whether Redis lets this node listen to all topics. */
  readonly interest: { readonly isServed: boolean };
  readonly generations: GenerationSource;
  /** Whether probes come back. */
  readonly probe: { readonly isLive: boolean };
  /** Whether partitions may have moved away unnoticed. */
  readonly lease: { readonly isValid: boolean };
}

export class RelayStatus {
  #isClosed = false;

  constructor(private readonly sources: RelayStatusSources) {}

  get state(): RelayState {
    const { links, interest, generations, probe } = this.sources;
    if (this.#isClosed) return 'closed';
    if (!links.publisher.isReady || !links.subscriber.isReady) return 'connecting';
    if (generations.generation !== null && probe.isLive && interest.isServed) return 'connected';
    return this.isOutOfMemory ? 'outOfMemory' : 'unproven';
  }

  get isOutOfMemory(): boolean {
    return this.sources.links.isOutOfMemory;
  }

  /** Whether Redis takes publications of this level now. */
  canPublish(level: Level): boolean {
    const { links, generations, lease } = this.sources;
    if (level === 'fast') return links.publisher.isReady && lease.isValid;
    return generations.generation !== null && (level !== 'durable' || links.durable?.isReady === true);
  }

  close(): void {
    this.#isClosed = true;
  }
}
