/** The relay of a single node: development, tests, and whoever needs no second node. */
import type { Payload, Position, Topic } from '@fanfare/protocol';
import { type Batch, Gathering } from './gathering.js';
import type { Delivery, Receipt, Relay, RelayState } from './relay.js';

export class MemoryRelay implements Relay {
  readonly #delivery: Delivery;
  readonly #gathering = new Gathering((batches) => this.#deliver(batches));
  state: RelayState = 'connected';

  constructor(delivery: Delivery) {
    this.#delivery = delivery;
  }

  publish(topic: Topic, payload: Payload, receipt: Receipt | null): void {
    this.#gathering.add(topic, payload, receipt);
  }

  async subscribe(_topic: Topic): Promise<Position | null> {
    return null;
  }

  unsubscribe(_topic: Topic): void {
    // Nothing was asked of anyone.
  }

  async flush(): Promise<void> {
    this.#gathering.flush();
  }

  async close(): Promise<void> {
    await this.flush();
    this.state = 'closed';
  }

  #deliver(batches: readonly Batch[]): void {
    for (const { topic, run, receipts } of batches) {
      this.#delivery.deliver(topic, null, run);
      for (const receipt of receipts) receipt.accepted(null);
    }
  }
}
