import { readPlannedUs, readSequence, stampBytes } from '@fanfare/kit/stamp';
import { type Command, MsgpackNodeCodec, type Publish } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { PublishTemplate } from '../src/levels/publish-template.js';

/** The length of the header of the data. */
const headBytes = 3;

/** The commands that a node reads in a frame of publications with these numbers. */
function publishes(template: PublishTemplate, sequences: readonly number[]): { frame: Buffer; read: Publish[] } {
  const frame = Buffer.alloc(template.length * sequences.length);
  for (const [index, sequence] of sequences.entries()) template.write(frame, index * template.length, sequence, 777);
  const read: Publish[] = [];
  new MsgpackNodeCodec().decode(frame, {
    isOver: false,
    onCommand: (command: Command) => {
      if (command.type !== 'publish') throw new Error(command.type);
      read.push(command);
    },
    onCommandError: (error) => {
      throw error;
    },
  });
  return { frame, read };
}

describe('PublishTemplate', () => {
  it.each([40, 128, 900])('numbers publications of %i bytes', (publicationBytes) => {
    const template = new PublishTemplate({ topic: 'bench.7', publicationBytes, isAcknowledged: false });
    const { frame, read } = publishes(template, [0, 1, 1_000_000]);
    expect(read.map(({ id, messageId, topic }) => [id, messageId, topic])).toEqual(
      Array.from({ length: 3 }, () => [null, null, 'bench.7']),
    );
    expect(read.map(({ start, end }) => end - start)).toEqual(Array.from({ length: 3 }, () => publicationBytes));
    expect(read.map(({ start }) => readSequence(frame, start + headBytes))).toEqual([0, 1, 1_000_000]);
    expect(read.map(({ start }) => readPlannedUs(frame, start + headBytes))).toEqual([777, 777, 777]);
  });

  it('gives each publication its own id and messageId if it is to be acknowledged', () => {
    const template = new PublishTemplate({ topic: 'bench.7', publicationBytes: 128, isAcknowledged: true });
    const { read } = publishes(template, [0, 1, 1_000_000]);
    const first = read[0]?.id ?? 0;
    expect(read.map(({ id }) => id)).toEqual([first, first + 1, first + 1_000_000]);
    expect(new Set(read.map(({ messageId }) => messageId)).size).toBe(3);
    expect(read[0]?.messageId).toHaveLength(stampBytes);
  });
});
