/**
 * Publications from the history, for a stream that catches up: in pieces, because a client that reads slowly may stop it
 * after each. What was not written is read again later, so the node keeps nothing for a slow client.
 */
import { maxRunBytes, type Position, Reader, type Run, skipItem, type Topic } from '@fanfare/protocol';
import { EventRun } from '../topics/event-run.js';

export class PagePieces {
  readonly #events = new EventRun();

  /**
   * Calls `write` with one piece after the other, until it returns false. `first`: the position of the first
   * publication. Returns whether all were written.
   */
  forEach(topic: Topic, first: Position, run: Run, write: (piece: EventRun) => boolean): boolean {
    const { bytes, count, hasKeys } = run;
    const reader = new Reader(bytes);
    let written = 0;
    let start = 0;
    for (let index = 0; index < count; index++) {
      skipItem(reader);
      if (reader.at - start < maxRunBytes && index < count - 1) continue;
      const piece = { count: index + 1 - written, bytes: bytes.subarray(start, reader.at), hasKeys };
      const position = { epoch: first.epoch, offset: first.offset + written };
      if (!write(this.#events.begin(topic, position, piece))) return false;
      written = index + 1;
      start = reader.at;
    }
    return true;
  }
}
