/** Many topics on each connection, and subscriptions that come and go. */
import { integer, number, within } from './option.js';
import { run, scenario } from './scenario.js';

export const subscriptions = scenario({
  about: 'Many topics on each connection, some given up and taken again all the time: what a subscription costs.',
  options: {
    subscribers: integer('subscribing connections', 100, 1, 10_000),
    'topics-each': within(integer('topics of each', 100, 1, 1_000), 'topics'),
    topics: integer('topics', 10_000, 1, 100_000),
    churn: number('subscriptions given up and made again, a second; 0: none', 100, 0, 50_000),
    rate: number('publications a second', 1_000, 0, 200_000),
    seconds: number('length of the measured time', 5, 0.1, 86_400),
    nodes: integer('nodes', 2, 1, 16),
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
