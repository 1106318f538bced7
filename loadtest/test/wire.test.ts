/** What a node writes is read back publication by publication, and what is none is not taken for one. */
import {
  type Command,
  emptyRun,
  JsonNodeCodec,
  MsgpackNodeCodec,
  type Topic,
  Writer,
  writeItem,
} from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { readSequence, writeStamp } from '../src/stamp.js';
import { createWire } from '../src/wires.js';

const topic = 'many' as Topic;
const wires = [
  { name: 'msgpack', codec: new MsgpackNodeCodec() },
  { name: 'json', codec: new JsonNodeCodec() },
] as const;

describe.each(wires)('$name', ({ name, codec }) => {
  it.each([32, 33, 128, 257, 258, 259, 900])('publishes data of %i bytes and finds it again', (publicationBytes) => {
    const wire = createWire(name, publicationBytes);
    const { payload, stampsAt } = wire.publish(topic, publicationBytes, 20);
    for (const [sequence, at] of stampsAt.entries()) writeStamp(payload, at, sequence, 0);

    // The node's side: every command is a publish of the size that was asked for.
    const run = new Writer();
    let count = 0;
    codec.decode(payload, {
      onCommand: (command: Command) => {
        if (command.type !== 'publish') throw new Error(command.type);
        expect(command.end - command.start).toBe(publicationBytes);
        writeItem(run, command);
        count++;
      },
      onCommandError: (error) => {
        throw error;
      },
    });
    const frames: Uint8Array[] = [];
    codec.publications(topic, null, { count, bytes: run.view() }, (frame) =>
      frames.push(Uint8Array.from(frame as Uint8Array)),
    );

    const found: number[] = [];
    for (const frame of frames) {
      const isWhole = wire.forEachPublication(frame, 0, frame.length, (bytes, at) =>
        found.push(readSequence(bytes, at)),
      );
      expect(isWhole).toBe(true);
    }
    expect(found).toEqual(Array.from({ length: 20 }, (_, index) => index));
  });

  it('does not take a reply for publications', () => {
    const wire = createWire(name, 128);
    const reply = codec.reply({
      type: 'subscribed',
      id: 1,
      topic,
      position: null,
      recovered: false,
      publications: emptyRun,
    });
    const bytes = typeof reply === 'string' ? new TextEncoder().encode(reply) : reply;
    expect(wire.forEachPublication(bytes, 0, bytes.length, () => expect.unreachable())).toBe(false);
  });
});
