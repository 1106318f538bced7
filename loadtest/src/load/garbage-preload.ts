/**
 * Loaded into a Node server before its own code, so that servers need no changes: measures garbage collections whenever
 * the load generator asks (garbage-meter.ts). Outside of a measurement it does nothing.
 */
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { GCProfiler, getHeapStatistics } from 'node:v8';
import { isMainThread } from 'node:worker_threads';
import { type GarbageAnswer, type GarbageRequest, socketVariable } from './garbage-protocol.js';
import { type Collection, sumUp } from './garbage-sums.js';

/**
 * V8 frees the memory of buffers in one step after a collection, so this must be much shorter than the time between
 * collections.
 */
const sampleMs = 20;

class Measurement {
  readonly #profiler = new GCProfiler();
  readonly #heapBytes = getHeapStatistics().used_heap_size;
  #bufferBytes = getHeapStatistics().external_memory;
  #allocatedBufferBytes = 0;
  readonly #timer = setInterval(() => this.#sample(), sampleMs).unref();

  constructor() {
    this.#profiler.start();
  }

  end(): GarbageAnswer {
    clearInterval(this.#timer);
    this.#sample();
    const usedAtEnd = getHeapStatistics().used_heap_size;
    const collections = this.#profiler.stop().statistics.map(
      ({ gcType, cost, beforeGC, afterGC }): Collection => ({
        kind: gcType,
        us: cost,
        usedBefore: beforeGC.heapStatistics.usedHeapSize,
        usedAfter: afterGC.heapStatistics.usedHeapSize,
      }),
    );
    return { ...sumUp(collections, this.#heapBytes, usedAtEnd), bufferBytes: this.#allocatedBufferBytes };
  }

  #sample(): void {
    const now = getHeapStatistics().external_memory;
    this.#allocatedBufferBytes += Math.max(0, now - this.#bufferBytes);
    this.#bufferBytes = now;
  }
}

const path = process.env[socketVariable];
if (path !== undefined && isMainThread) {
  let measurement: Measurement | null = null;
  const socket = connect(path).unref();
  // The load generator has ended: nothing is left to report to.
  socket.on('error', () => {});
  socket.write(`${process.pid}\n`);
  createInterface({ input: socket }).on('line', (line) => {
    const answer = measurement?.end() ?? null;
    measurement = (line as GarbageRequest) === 'begin' ? new Measurement() : null;
    socket.write(`${JSON.stringify(answer)}\n`);
  });
}
