/** Many topics of different popularity. */
import { integer, number, within } from './option.js';
import { run, scenario } from './scenario.js';

export const manyToMany = scenario({
  about: 'Many topics, of which a few get most publications (Zipf): chats, tickers, dashboards together.',
  options: {
    topics: integer('topics', 1_000, 1, 100_000),
    subscribers: integer('subscribing connections', 1_000, 1, 100_000),
    'topics-each': within(integer('topics of each subscriber', 5, 1, 1_000), 'topics'),
    publishers: integer('publishing connections', 10, 1, 1_000),
    exponent: number('of Zipf’s law: 0 makes all equal', 1, 0, 3),
    rate: number('publications a second', 2_000, 1, 200_000),
    bytes: integer('size of a publication’s data', 128, 40, 1_000_000),
    seconds: number('length of the measured time', 5, 0.1, 86_400),
    nodes: integer('nodes', 1, 1, 16),
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
