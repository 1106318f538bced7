/** Which topics are at which Redis: nodes listen to a channel for each topic that has subscribers. */
import { type RedisProcess, type RedisReply, redisCommand } from '@fanfare/local-cluster';
import type { VerifyTopic } from '../checker/numbered.js';

/** The name of a topic's channel, up to the topic. */
const channelPattern = /:topic:(verify\..+)$/;

/** The channel of each topic that nodes listen to at this server. */
export async function readTopicChannels({ port }: RedisProcess): Promise<ReadonlyMap<VerifyTopic, string>> {
  const channels = ((await redisCommand(port, ['PUBSUB', 'SHARDCHANNELS'])) as readonly RedisReply[]).map(String);
  return new Map(
    channels.flatMap((channel) => {
      const topic = channelPattern.exec(channel)?.[1];
      return topic === undefined ? [] : [[topic as VerifyTopic, channel] as const];
    }),
  );
}
