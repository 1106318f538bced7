import { MemoryRelay } from '../src/relay/memory-relay.js';
import { RecordedDelivery, relayContract, topics } from './relay.contract.js';

// It knows no other node, so several "nodes" are one.
relayContract('MemoryRelay', async () => {
  const delivery = new RecordedDelivery();
  const relay = new MemoryRelay(
    { topics, recentBytes: 1_000_000, flushWindowMs: 0, idempotencyWindowSeconds: 60 },
    delivery,
  );
  return { relays: [relay], deliveries: [delivery], [Symbol.asyncDispose]: () => relay.close() };
});
