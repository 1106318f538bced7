/** The section of docs/observability.md on traces. */
export const tracingSection = `## Traces

With \`FANFARE_TRACING_URL=http://collector:4318\` (or with a path of its own instead of \`/v1/traces\`) a node sends spans of \`FANFARE_TRACING_RATIO\` of its publications (0.001 by default) to an OpenTelemetry collector, as OTLP over HTTP in JSON.
Without it nothing of this is loaded. A traced publication is one trace:

| span | kind | node | from | to |
|---|---|---|---|---|
| \`publish\` | PRODUCER, the first | the one that took it in | its run began to be gathered | its publisher was answered |
| \`EVALSHA\` | CLIENT, in \`publish\` | the same | its run left for Redis | Redis had answered |
| \`deliver\` | CONSUMER, in \`publish\` | each that has subscribers of the topic | the node had it in hand | the frame was handed to all their sockets |

Publications of one topic and turn of the event loop travel as one run (under load, those of \`FANFARE_FLUSH_WINDOW_MS\`), and spans have the times of the run; \`fanfare.run.publications\` says how many it held.
From the start of \`publish\` to the end of \`deliver\` is what the broker takes, as far as the clocks of the nodes agree. Attributes: \`messaging.system\` (\`fanfare\`), \`messaging.operation.name\` and \`.type\`,
\`messaging.destination.name\` (the topic), \`messaging.message.id\` (\`<epoch>-<offset>\`); of \`deliver\` also \`fanfare.subscribers\`, \`fanfare.run.bytes\` (frames times subscribers) and \`fanfare.repaired\` (the run had not come, and was read from the
history). The resource is \`service.name\` \`fanfare\` and \`service.instance.id\` the node's name. Names of spans hold no topic, because clients choose topics and names must be few. To whom topics are secret, a collector can drop or hash the attributes.

Not traced: level \`fast\`, which has no positions; what Redis did not take, which has none either (the metrics and the log tell of it); what a client that comes back gets out of the history; a publication that was known by its \`messageId\`, a second time.

At most 4,096 spans wait for the collector. What is more, or what it has not answered whole within 3 s, is dropped and counted (\`fanfare_spans_dropped_total\`); publications never wait for it. A node that stops sends what it has, for 3 s at most.
\`OTEL_EXPORTER_OTLP_HEADERS\` (\`authorization=…\`) adds headers, as OpenTelemetry defines it; its variables for the endpoint and the timeout do not hold.

### Ids

Nothing is added to the wire or to what crosses Redis: the ids of a trace follow from the publication's topic and position, which publisher, nodes and subscribers know. Six hashes of 32 bits, \`h0\` to \`h5\`, are taken of these bytes:
topic, a space, epoch, a space (ASCII), and the offset (8 bytes, big endian).

- \`hi\` begins as \`0x811c9dc5 + i\`; for each byte it becomes \`(hi xor byte) * 0x01000193 mod 2^32\` (FNV-1a).
- At the end, each is mixed (MurmurHash3's finalizer, all mod 2^32): \`x ^= x >> 16; x *= 0x85ebca6b; x ^= x >> 13; x *= 0xc2b2ae35; x ^= x >> 16\`.
- The trace id is \`h0 h1 h2 h3\`, the id of the span \`publish\` \`h4 h5\`, each as 8 hexadecimal digits. The other spans have random ids.
- A publication is traced where the low 24 bits of \`h2\` are not below \`2^24 - round(ratio * 2^24)\`. Those are the first of the trailing 56 bits of the trace id, so it is OpenTelemetry's consistent probability sampling, and \`tracestate\` says the threshold (\`ot=th:ffbe77\` at 0.001).

| topic | epoch | offset | trace id | span id |
|---|---|---|---|---|
| \`news\` | \`1795508572945877\` | 1 | \`47519365ecf3c9130756fe86fcb239d0\` | \`6fd6868da0f88210\` |
| \`orders.7.lines\` | \`a-Z_9\` | 4294967301 | \`9ffaee5e249e6220a0c2f5d6c41d3216\` | \`266aae6c10659f2b\` |
| \`chat.lobby\` | \`0\` | 9007199254740991 | \`0d657817d69d6a7cc8ec685875c6b595\` | \`925d17234948aacc\` |

### Spans of your own

\`traceOf\` and \`TraceSampler\` of \`@fanfare/protocol\` do this in browsers and in Node. A subscriber goes on with the trace:

\`\`\`ts
import { context, trace, TraceFlags } from '@opentelemetry/api';
import { TraceSampler, traceOf } from '@fanfare/protocol';

const sampler = new TraceSampler(0.001); // the nodes' FANFARE_TRACING_RATIO
const tracer = trace.getTracer('shop');

client.subscribe('orders.7', ({ topic, data, position }) => {
  if (position === null || !sampler.isSampled(topic, position)) return show(data);
  const parent = { ...traceOf(topic, position), traceFlags: TraceFlags.SAMPLED, isRemote: true };
  tracer.startActiveSpan('show', {}, trace.setSpanContext(context.active(), parent), (span) => {
    show(data);
    span.end();
  });
});
\`\`\`

A publisher has a trace of its own before there is a position, so that trace cannot be the publication's parent. It links to it when it is answered, and every tool that shows links leads from the request to the delivery:

\`\`\`ts
const { position } = await client.publish('orders.7', order);
if (position !== null && sampler.isSampled('orders.7', position)) {
  trace.getActiveSpan()?.addLink({ context: { ...traceOf('orders.7', position), traceFlags: TraceFlags.SAMPLED } });
}
\`\`\`

### What it costs

CPU of a node for each publication of 128 B that it takes in, sends through Redis and delivers to one subscriber; 5 rounds in turns, medians, with least and most beside them (\`npm run build && node loadtest/dist/costs/tracing-main.js\`; 2 cores, Node 20, a load of about 1 by others):

| tracing | publications of a run | µs | times off |
|---|---|---|---|
| off | 1 | 8.57 | 1 |
| ratio 0.001 | 1 | 9.04 | 1.04 (1.03 to 1.08) |
| ratio 1 | 1 | 97.5 | 11.1 (11.0 to 11.9) |
| off | 20 | 4.80 | 1 |
| ratio 0.001 | 20 | 5.27 | 1.06 (0.99 to 1.22) |
| ratio 1 | 20 | 88.1 | 18.4 (17.1 to 19.0) |

Off, it is a comparison with null for each run: beside the version before it, 1.00 (0.93 to 1.05) with runs of one and 1.06 (0.89 to 1.15) with runs of 20, which 7 rounds on a machine that others loaded do not tell from nothing. On, each publication costs a hash of about 10 ns where it is taken in and where it is delivered, each run 50 ns more, and each span that is sent about 30 µs. So 0.001 is for production at any rate, and 1 for a test.

`;
