/** Reads of history, for subscriptions and for `history()`. They take turns. */
import type { HistoryDirection, Position } from '@fanfare/protocol';
import type { Connection } from './connection.js';
import type { Answer, Requests } from './requests.js';
import { Slots } from './slots.js';

/** `history` commands of a connection that may be unanswered: a node refuses one more (PROTOCOL.md section 7). */
export const maxReads = 8;

/** What to read. A node decides about options that are null. */
export interface Question {
  readonly topic: string;
  readonly since: Position | null;
  readonly limit: number | null;
  readonly direction: HistoryDirection | null;
}

export class Reads {
  readonly #requests: Requests;
  readonly #slots = new Slots(maxReads);

  constructor(requests: Requests) {
    this.#requests = requests;
  }

  /**
   * Calls `connectionOf` and `questionOf` when it is the turn of this read. If one of them returns null, nothing is
   * sent, and `onAnswer` gets null.
   */
  ask(
    connectionOf: () => Connection | null,
    questionOf: () => Question | null,
    onAnswer: (answer: Answer | null) => void,
  ): void {
    this.#slots.take(() => {
      const onEnd = (answer: Answer | null): void => {
        this.#slots.release();
        onAnswer(answer);
      };
      const connection = connectionOf();
      const question = questionOf();
      if (connection === null || question === null) onEnd(null);
      else this.#requests.ask(connection, { type: 'history', ...question }, onEnd);
    });
  }
}
