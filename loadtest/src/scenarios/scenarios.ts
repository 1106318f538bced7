/** All scenarios, by name, in the order of the help. */
import { amount, bytes, count, nodes, rate, seconds, shareOf, subscribers, within } from './option.js';
import { runOf, type Scenario, scenario } from './scenario.js';

export const fanOut = scenario({
  about: 'One topic with many subscribers: what a delivery costs.',
  options: {
    subscribers: subscribers(1_000, 100_000),
    rate: rate(40, 0.1, 100_000),
    bytes: bytes(128, 1_000_000),
    seconds: seconds(5, 0.1),
    nodes: nodes(1),
  },
  short: { subscribers: '50', rate: '50', seconds: '0.5' },
  run: (values) => runOf(`${values.subscribers} subscribers, ${values.bytes} B`, values),
});

export const crossNode = scenario({
  about:
    'Publications enter at the first node and leave at others: what an additional node costs, with and without subscribers.',
  options: {
    nodes: count('nodes', 2, 2, 16),
    interested: within(count('nodes with subscribers, without the first node', 1, 1, 15), 'nodes', 1),
    topics: count('topics', 100, 1, 100_000),
    subscribers: subscribers(100, 100_000),
    rate: rate(5_000, 1, 200_000),
    burst: count('publications sent together', 1, 1, 64),
    bytes: bytes(128, 1_000_000),
    seconds: seconds(5, 0.1),
  },
  short: { nodes: '3', topics: '10', subscribers: '20', rate: '500', seconds: '0.5' },
  run: ({ interested, ...values }) =>
    runOf(`${values.nodes} nodes, ${interested} with subscribers`, values, {
      publisherServers: [0],
      subscriberServers: Array.from({ length: interested }, (_, index) => index + 1),
    }),
});

export const scenarios: Readonly<Record<string, Scenario>> = {
  'fan-out': fanOut,
  'fan-in': scenario({
    about: 'Many publishers to one topic with one subscriber: how much a node can receive.',
    options: {
      publishers: count('publishing connections', 100, 1, 10_000),
      rate: amount('publications per second, of all publishers', 5_000, 1, 200_000),
      bytes: bytes(128, 1_000_000),
      seconds: seconds(5, 0.1),
      nodes: nodes(1),
    },
    short: { publishers: '20', rate: '500', seconds: '0.5' },
    run: (values) => runOf(`${values.publishers} publishers`, values),
  }),
  publish: scenario({
    about: 'Publications that nobody subscribes to: what accepting one costs, and how long its answer takes.',
    options: {
      publishers: count('publishing connections', 16, 1, 10_000),
      topics: count('topics', 160, 1, 100_000),
      rate: rate(5_000, 1, 200_000),
      burst: count('publications sent together, over all connections', 1, 1, 10_000),
      bytes: bytes(128, 1_000_000),
      seconds: seconds(5, 0.1),
      nodes: nodes(1),
    },
    short: { publishers: '4', topics: '8', rate: '500', seconds: '0.5' },
    run: (values) => runOf(`${values.publishers} publishers`, values, { subscribers: 0 }),
  }),
  'many-to-many': scenario({
    about: 'Many topics; a few of them get most publications (Zipf): chats, tickers and dashboards together.',
    options: {
      topics: count('topics', 1_000, 1, 100_000),
      subscribers: subscribers(1_000, 100_000),
      'topics-each': within(count('topics of each subscriber', 5, 1, 1_000), 'topics'),
      publishers: count('publishing connections', 10, 1, 1_000),
      exponent: amount('exponent of Zipf’s law: 0 makes all topics equal', 1, 0, 3),
      rate: rate(2_000, 1, 200_000),
      bytes: bytes(128, 1_000_000),
      seconds: seconds(5, 0.1),
      nodes: nodes(1),
    },
    short: { topics: '100', subscribers: '50', rate: '500', seconds: '0.5' },
    run: ({ exponent, 'topics-each': each, ...values }) =>
      runOf(`${values.topics} topics`, values, {
        subscriptions: { name: 'some', topics: each },
        choice: { name: 'zipf', exponent },
      }),
  }),
  'point-to-point': scenario({
    about:
      'A topic for each subscriber (notifications, games, bookings): what a publication with one subscriber costs.',
    options: {
      subscribers: count('subscribing connections, each with its own topic', 1_000, 1, 100_000),
      publishers: count('publishing connections', 4, 1, 1_000),
      rate: rate(5_000, 1, 200_000),
      bytes: bytes(128, 1_000_000),
      seconds: seconds(5, 0.1),
      nodes: nodes(1),
    },
    short: { subscribers: '50', rate: '500', seconds: '0.5' },
    run: (values) =>
      runOf(`${values.subscribers} topics with one subscriber each`, values, { topics: values.subscribers }),
  }),
  'cross-node': crossNode,
  idle: scenario({
    about: 'Subscribers that only wait: what a connection costs in memory and CPU.',
    options: {
      subscribers: subscribers(5_000, 1_000_000),
      topics: count('topics that they are spread over', 1, 1, 1_000_000),
      seconds: amount('how long they wait', 10, 0.1, 86_400, 'seconds'),
      nodes: nodes(1, 64),
    },
    short: { subscribers: '200', seconds: '0.5' },
    run: (values) => runOf(`${values.subscribers} idle subscribers`, values, { warmUpSeconds: 0 }),
  }),
  subscriptions: scenario({
    about:
      'Many topics on each connection, with subscriptions that end and start all the time. What does a subscription cost?',
    options: {
      subscribers: subscribers(100, 10_000),
      'topics-each': within(count('topics of each subscriber', 100, 1, 1_000), 'topics'),
      topics: count('topics', 10_000, 1, 100_000),
      churn: amount('subscriptions ended and made again per second', 100, 0, 50_000),
      rate: rate(1_000, 0, 200_000),
      seconds: seconds(5, 0.1),
      nodes: nodes(2),
    },
    short: { subscribers: '10', 'topics-each': '20', topics: '100', churn: '50', rate: '300', seconds: '1' },
    run: ({ churn, 'topics-each': each, ...values }) =>
      runOf(`${each} topics on each connection`, values, {
        subscriptions: { name: 'some', topics: each },
        disturbances: churn === 0 ? [] : [{ name: 'resubscribe', subscriptionsPerSecond: churn }],
      }),
  }),
  churn: scenario({
    about:
      'Connections come and go: how many handshakes a node serves while it delivers, and whether it frees the memory.',
    options: {
      subscribers: subscribers(1_000, 50_000),
      churn: count('connections replaced per second', 200, 1, 5_000),
      rate: rate(20, 0.1, 10_000),
      seconds: seconds(5, 0.1),
      nodes: nodes(1),
    },
    short: { subscribers: '50', churn: '50', rate: '50', seconds: '1' },
    run: ({ churn, ...values }) =>
      runOf(`${churn} connections replaced a second`, values, {
        disturbances: [{ name: 'churn', connectionsPerSecond: churn }],
      }),
  }),
  storm: scenario({
    about:
      'Many connections break at once and reconnect as fast as permitted: how long until the last one is subscribed again.',
    options: {
      subscribers: subscribers(5_000, 100_000),
      share: shareOf('subscribers', 'share of them that breaks', 1),
      topics: count('topics that they are spread over', 100, 1, 100_000),
      rate: rate(100, 0.1, 10_000),
      seconds: seconds(10, 0.5, 86_400, '; they break after a fifth of it'),
      nodes: nodes(1),
    },
    short: { subscribers: '100', seconds: '1.5' },
    run: ({ share, ...values }) =>
      runOf(`${Math.round(values.subscribers * share)} of ${values.subscribers} connections break`, values, {
        disturbances: [{ name: 'storm', atSeconds: values.seconds / 5, share }],
      }),
  }),
  slow: scenario({
    about: 'Some subscribers stop reading: whether the others notice, and what unread data costs.',
    options: {
      subscribers: subscribers(200, 50_000),
      share: shareOf('subscribers', 'share of them that stops reading', 0.01),
      rate: rate(200, 0.1, 10_000),
      bytes: bytes(4_096, 1_000_000),
      seconds: seconds(10, 0.5, 86_400, '; they stop after a fifth of it'),
      nodes: nodes(1),
    },
    short: { subscribers: '20', share: '0.1', seconds: '1' },
    run: ({ share, ...values }) =>
      runOf(`${Math.round(values.subscribers * share)} of ${values.subscribers} stop reading`, values, {
        disturbances: [{ name: 'stall', atSeconds: values.seconds / 5, share }],
      }),
  }),
  'big-payloads': scenario({
    about: 'Large publications: around 16 KiB, where uWebSockets.js changes how it sends, and far above.',
    options: {
      bytes: bytes([16_383, 16_384, 65_536, 1_048_576], 16_000_000),
      subscribers: subscribers(50, 10_000),
      bandwidth: amount(
        'megabytes delivered per second, to all subscribers together; the rate follows from it',
        50,
        0.1,
        10_000,
      ),
      seconds: seconds(5, 0.1),
      nodes: nodes(1),
    },
    short: { bytes: '16383,70000', subscribers: '5', bandwidth: '5', seconds: '0.5' },
    run: ({ bandwidth, ...values }) =>
      runOf(`${values.bytes} B`, {
        ...values,
        rate: Math.max(1, (bandwidth * 1e6) / values.bytes / values.subscribers),
      }),
  }),
  absence: scenario({
    about: 'Typed clients reconnect and recover missed publications. Do they get all of them, and how late?',
    options: {
      subscribers: count('clients', 200, 1, 5_000),
      share: shareOf('subscribers', 'share of them that is away', 0.5),
      away: amount('how long they are away', 2, 0.1, 60, 'seconds'),
      topics: count('topics that they are spread over', 10, 1, 10_000),
      rate: rate(100, 0.1, 10_000),
      seconds: seconds(10, 0.5, 86_400, '; they leave after a fifth of it'),
      nodes: nodes(2),
    },
    short: { subscribers: '20', away: '0.5', seconds: '1.5' },
    run: ({ share, away, ...values }) => ({
      ...runOf(
        `${Math.round(values.subscribers * share)} of ${values.subscribers} clients away for ${away} s`,
        values,
        {
          disturbances: [{ name: 'absence', atSeconds: values.seconds / 5, seconds: away, share }],
        },
      ),
      needsClient: true,
    }),
  }),
  burst: scenario({
    about: 'The same number of publications, one at a time or many together: what sending them together saves.',
    options: {
      burst: count('publications sent together', [1, 8, 32, 128], 1, 1_000),
      subscribers: subscribers(200, 10_000),
      rate: rate(640, 1, 100_000),
      bytes: bytes(128, 100_000),
      seconds: seconds(5, 0.1),
      nodes: nodes(1),
    },
    short: { burst: '1,32', subscribers: '20', seconds: '0.5' },
    run: (values) => runOf(`${values.burst} together`, values),
  }),
  soak: scenario({
    about: 'A moderate load for a long time, with connections that come and go: whether memory or latency drift.',
    options: {
      seconds: seconds(3_600, 1, 604_800),
      subscribers: subscribers(1_000, 50_000),
      topics: count('topics', 200, 1, 100_000),
      rate: rate(1_000, 1, 100_000),
      churn: amount('connections replaced per second', 5, 0.1, 5_000),
      nodes: nodes(2),
    },
    short: { seconds: '1', subscribers: '20', topics: '10', rate: '200' },
    run: ({ churn, ...values }) =>
      runOf(`${values.seconds} s`, values, { disturbances: [{ name: 'churn', connectionsPerSecond: churn }] }),
  }),
};
