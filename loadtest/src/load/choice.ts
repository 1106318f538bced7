/** Which of several streams comes next. */
import { streamsOf, topicOfStream, type Workload } from './workload.js';

/**
 * The relative frequency of a stream. It does not depend on the generator process, so all processes together follow the
 * distribution. Popularity belongs to topics: streams of the same topic share it.
 */
export function weightOf(stream: number, workload: Workload): number {
  const { choice, topics } = workload;
  if (choice.name === 'inTurn') return 1;
  const topic = topicOfStream(stream, workload);
  const streamsOfTopic = Math.ceil((streamsOf(workload) - topic) / topics);
  return 1 / (topic + 1) ** choice.exponent / streamsOfTopic;
}

/** Returns one of `streams` each time. */
export function chooser(streams: readonly number[], workload: Workload): () => number {
  if (workload.choice.name === 'inTurn') {
    let at = 0;
    return () => streams[at++ % streams.length] as number;
  }
  // Cumulative weights: a random number falls into the range of one stream.
  const ends: number[] = [];
  let sum = 0;
  for (const stream of streams) {
    sum += weightOf(stream, workload);
    ends.push(sum);
  }
  return () => {
    const wanted = Math.random() * sum;
    let [low, high] = [0, ends.length - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ends[middle] as number) > wanted) high = middle;
      else low = middle + 1;
    }
    return streams[low] as number;
  };
}
