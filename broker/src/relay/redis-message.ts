/**
 * The message of a topic without history that nodes send each other through Redis: a short head and one run.
 *
 *     byte 0      1, or 2 if publications of the run have keys
 *     byte 1..8   id of the node that sent it, random bytes
 *     byte 9..10  number of publications, big endian
 *     byte 11..   the run
 */
import type { Run } from '@fanfare/protocol';
import { customAlphabet } from 'nanoid';
import type { CommandWriter } from '../redis/redis.js';

const withoutKeys = 1;
const withKeys = 2;
const nodeIdBytes = 8;
const headBytes = 1 + nodeIdBytes + 2;

/** Creates an id for a node, in hex. Random, so that no other node and no earlier run of this one has the same. */
export const newNodeId = customAlphabet('0123456789abcdef', 2 * nodeIdBytes);

interface RedisMessageHead {
  readonly isOwn: boolean;
  readonly run: Run;
}

/** Writes the message as a part of a command. */
export function writeRedisMessage(writer: CommandWriter, nodeId: Buffer, run: Run): void {
  writer.partOf(headBytes + run.bytes.length);
  writer.byte(run.hasKeys ? withKeys : withoutKeys);
  writer.copy(nodeId);
  writer.byte(run.count >>> 8);
  writer.byte(run.count);
  writer.copy(run.bytes);
  writer.endPart();
}

/** Null if the message has another layout: it is from a node of another version, or from another program. */
export function decodeRedisMessage(message: Buffer, ownNodeId: Buffer): RedisMessageHead | null {
  const hasKeys = message[0] === withKeys;
  if (message.length < headBytes || !(hasKeys || message[0] === withoutKeys)) return null;
  const isOwn = ownNodeId.compare(message, 1, 1 + nodeIdBytes) === 0;
  const count = message.readUInt16BE(1 + nodeIdBytes);
  return { isOwn, run: { count, bytes: message.subarray(headBytes), hasKeys } };
}
