/** Many topics of different popularity. */
import { amount, bytes, count, nodes, rate, seconds, subscribers, within } from './option.js';
import { run, scenario } from './scenario.js';

export const manyToMany = scenario({
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
  run: (values) =>
    run(
      `${values.topics} topics`,
      {
        topics: values.topics,
        subscribers: values.subscribers,
        subscriptions: { name: 'some', topics: values['topics-each'] },
        publishers: values.publishers,
        choice: { name: 'zipf', exponent: values.exponent },
        perSecond: values.rate,
        publicationBytes: values.bytes,
        seconds: values.seconds,
      },
      { nodes: values.nodes },
    ),
});
