/** Many topics on each connection, and subscriptions that come and go. */
import { amount, count, nodes, rate, seconds, subscribers, within } from './option.js';
import { run, scenario } from './scenario.js';

export const subscriptions = scenario({
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
  run: (values) =>
    run(
      `${values['topics-each']} topics on each connection`,
      {
        topics: values.topics,
        subscribers: values.subscribers,
        subscriptions: { name: 'some', topics: values['topics-each'] },
        perSecond: values.rate,
        seconds: values.seconds,
        disturbances: values.churn === 0 ? [] : [{ name: 'resubscribe', subscriptionsPerSecond: values.churn }],
      },
      { nodes: values.nodes },
    ),
});
