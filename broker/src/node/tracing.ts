/**
 * Traces publications with OpenTelemetry. The position of a publication determines whether it is traced, and its ids
 * (protocol/src/trace.ts). So all nodes trace the same ones, and their spans form one trace without a byte on the wire.
 * Loaded only if tracing is on.
 */
import type { Agent } from 'node:http';
import { type Position, type Topic, type TraceIds, TraceSampler, traceOf } from '@fanfare/protocol';
import {
  type Attributes,
  createTraceState,
  type HrTime,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type TraceState,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { convertLegacyHttpOptions } from '@opentelemetry/otlp-exporter-base/node-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace';
import type { Log } from '../observe/log.js';
import type { PublishTracer, TakenRun } from '../relay/relay.js';
import type { DeliveredRun, DeliveryTracer } from '../topics/fanout.js';
import { collectorTimeoutMs } from './drain.js';

export interface TracingSettings {
  readonly tracingUrl: string;
  readonly tracingRatio: number;
  readonly nodeName: string;
  /** How often spans are sent, in milliseconds. Default: 1,000. */
  readonly sendIntervalMs?: number;
  /** How long the collector may take to answer, in milliseconds. Default: {@link collectorTimeoutMs}. */
  readonly timeoutMs?: number;
}

export interface TracingCounters {
  spans: number;
  spansDropped: number;
}

/**
 * Maximum number of spans (about 2 kB each) that wait for the collector, including those being sent. The node drops
 * more.
 */
const maxWaitingSpans = 4_096;
/** Spans in one request. */
const maxSpansInRequest = 512;
/** A larger difference means that the system clock was set, in milliseconds. */
const clockStepMs = 5;

type ExportResult = Parameters<Parameters<SpanExporter['export']>[1]>[0];
/** ExportResultCode.FAILED of @opentelemetry/core, which is not a dependency of ours. */
const failed: ExportResult['code'] = 1;

/** The parts of a span that are not the same for all. */
interface SpanParts {
  readonly name: string;
  readonly kind: SpanKind;
  /** Null for the first span of the trace. */
  readonly parent: string | null;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: Attributes;
}

export class Tracing implements PublishTracer, DeliveryTracer {
  readonly #sampler: TraceSampler;
  readonly #shared: Pick<ReadableSpan, 'resource' | 'instrumentationScope'>;
  readonly #traceState: TraceState;
  readonly #processor: BatchSpanProcessor;
  readonly #exporter: OTLPTraceExporter;
  readonly #timeoutMs: number;
  /** The exporter's connections; null until it makes the first one. */
  #agent: Agent | null = null;
  readonly #log: Log;
  readonly #counters: TracingCounters;
  /** Spans that the collector has not taken yet. */
  #waiting = 0;
  /** Spans lost since the collector failed; null while it works. */
  #dropped: number | null = null;
  /** Unix time at performance.now() === 0, in milliseconds. */
  #clockStart = performance.timeOrigin;

  constructor(settings: TracingSettings, log: Log, counters: TracingCounters) {
    const { tracingUrl, tracingRatio, nodeName, sendIntervalMs = 1_000, timeoutMs = collectorTimeoutMs } = settings;
    this.#timeoutMs = timeoutMs;
    this.#log = log;
    this.#counters = counters;
    this.#sampler = new TraceSampler(tracingRatio);
    this.#traceState = createTraceState(`ot=th:${this.#sampler.threshold}`);
    this.#shared = {
      resource: resourceFromAttributes({ 'service.name': 'fanfare', 'service.instance.id': nodeName }),
      instrumentationScope: { name: '@fanfare/broker' },
    };
    // The default of the exporter, with OpenTelemetry's variables for certificates.
    const { agentFactory } = convertLegacyHttpOptions({}, 'TRACES', 'v1/traces', {});
    this.#exporter = new OTLPTraceExporter({
      url: tracingUrl,
      timeoutMillis: timeoutMs,
      httpAgentOptions: async (protocol) => {
        this.#agent = await agentFactory(protocol);
        return this.#agent;
      },
    });
    this.#processor = new BatchSpanProcessor({
      exporter: {
        export: (spans, done) => this.#export(spans, done),
        shutdown: () => this.#exporter.shutdown(),
      },
      // `#record` limits the queue together with the spans being sent.
      maxQueueSize: maxWaitingSpans,
      maxExportBatchSize: maxSpansInRequest,
      scheduledDelayMillis: sendIntervalMs,
      // Never reached: #export has the deadline.
      exportTimeoutMillis: timeoutMs * 2,
    });
    // The path may contain a key of the account.
    const url = new URL(tracingUrl).origin;
    log.info(
      { event: 'tracing', url, ratio: tracingRatio },
      `Tracing ${tracingRatio * 100} % of publications to ${url}.`,
    );
  }

  sampled(topic: Topic, position: Position, count: number): readonly number[] | null {
    return this.#sampler.offsets(topic, position, count);
  }

  published({ topic, position, count, beganAt, redis }: TakenRun): void {
    const { epoch } = position;
    for (const offset of this.sampled(topic, position, count) ?? []) {
      const ids = traceOf(topic, { epoch, offset });
      this.#record(ids, ids.spanId, {
        name: 'publish',
        kind: SpanKind.PRODUCER,
        parent: null,
        startedAt: beganAt,
        endedAt: performance.now(),
        attributes: {
          'messaging.operation.name': 'publish',
          'messaging.operation.type': 'send',
          ...ofPublication(topic, epoch, offset, count),
        },
      });
      if (redis === null) continue;
      this.#record(ids, newSpanId(), {
        name: 'EVALSHA',
        kind: SpanKind.CLIENT,
        parent: ids.spanId,
        startedAt: redis.sentAt,
        endedAt: redis.answeredAt,
        attributes: { 'db.system.name': 'redis', 'db.operation.name': 'EVALSHA' },
      });
    }
  }

  delivered({ topic, epoch, offsets, count, startedAt, endedAt, subscribers, bytes, wasMissed }: DeliveredRun): void {
    for (const offset of offsets) {
      const ids = traceOf(topic, { epoch, offset });
      this.#record(ids, newSpanId(), {
        name: 'deliver',
        kind: SpanKind.CONSUMER,
        parent: ids.spanId,
        startedAt,
        endedAt,
        attributes: {
          'messaging.operation.name': 'deliver',
          'messaging.operation.type': 'process',
          ...ofPublication(topic, epoch, offset, count),
          'fanfare.subscribers': subscribers,
          'fanfare.run.bytes': bytes,
          'fanfare.repaired': wasMissed,
        },
      });
    }
  }

  /** Sends the waiting spans, within the timeout of the collector. */
  async close(): Promise<void> {
    // Failures are already counted and logged.
    await this.#processor.shutdown().catch(() => undefined);
  }

  #record({ traceId }: TraceIds, spanId: string, parts: SpanParts): void {
    if (this.#waiting >= maxWaitingSpans) return this.#drop(1);
    this.#waiting++;
    const { name, kind, parent, startedAt, endedAt, attributes } = parts;
    const own = { traceId, traceFlags: TraceFlags.SAMPLED, traceState: this.#traceState } as const;
    const context = { ...own, spanId };
    this.#processor.onEnd({
      ...this.#shared,
      name,
      kind,
      spanContext: () => context,
      ...(parent === null ? {} : { parentSpanContext: { ...own, spanId: parent, isRemote: true } }),
      startTime: this.#timeOf(startedAt),
      endTime: this.#timeOf(endedAt),
      duration: hrTime(endedAt - startedAt),
      ended: true,
      attributes,
      status: { code: SpanStatusCode.UNSET },
      links: [],
      events: [],
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    });
  }

  #export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    let isSettled = false;
    const settle = (result: ExportResult): void => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(deadline);
      this.#waiting -= spans.length;
      if (result.error === undefined) this.#take(spans.length);
      else this.#fail(spans.length, result.error);
      done(result);
    };
    // The timeout of the exporter is for silence only: an answer that arrives byte by byte would occupy it forever.
    const deadline = setTimeout(() => {
      // Before `settle`, which may send the next request.
      this.#agent?.destroy();
      settle({ code: failed, error: new Error(`no complete answer within ${this.#timeoutMs} ms`) });
    }, this.#timeoutMs);
    this.#exporter.export(spans, settle);
  }

  #take(spans: number): void {
    this.#counters.spans += spans;
    if (this.#dropped === null) return;
    const dropped = this.#dropped;
    this.#dropped = null;
    this.#log.info(
      { event: 'tracingBack', dropped },
      `The collector accepts spans again. ${dropped} spans were dropped.`,
    );
  }

  #fail(spans: number, { message }: Error): void {
    if (this.#dropped === null) {
      this.#dropped = 0;
      this.#log.warn(
        { event: 'tracingFailed', reason: message },
        'The collector at FANFARE_TRACING_URL does not accept spans. The node drops spans until it does. Publications are not affected.',
      );
    }
    this.#drop(spans);
  }

  #drop(spans: number): void {
    this.#counters.spansDropped += spans;
    if (this.#dropped !== null) this.#dropped += spans;
  }

  #timeOf(at: number): HrTime {
    const step = Date.now() - (this.#clockStart + performance.now());
    if (Math.abs(step) > clockStepMs) this.#clockStart += step;
    return hrTime(this.#clockStart + at);
  }
}

function ofPublication(topic: Topic, epoch: string, offset: number, count: number): Attributes {
  return {
    'messaging.system': 'fanfare',
    'messaging.destination.name': topic,
    'messaging.message.id': `${epoch}-${offset}`,
    'fanfare.run.publications': count,
  };
}

/** Not a secret, so cheap random numbers are sufficient. */
function newSpanId(): string {
  const half = (): string => ((Math.random() * 2 ** 32) >>> 0).toString(16).padStart(8, '0');
  return half() + half();
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.floor((ms - seconds * 1_000) * 1e6)];
}
