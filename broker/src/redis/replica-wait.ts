/**
 * Waits until replicas have what was written on a connection. WAIT counts for all earlier writes of its connection, and
 * Redis executes nothing else on that connection meanwhile. So what all publishers of a connection send in a turn is
 * followed by one WAIT, and what they have later is sent when that one is answered.
 */
import type { CommandWriter } from './command-writer.js';
import { PendingCall } from './pending-call.js';
import type { Reply } from './reply-reader.js';

/** How many replicas must confirm, and for how long to wait. */
export interface Wait {
  readonly replicas: number;
  readonly timeoutMs: number;
}

/** The connection, as this file needs it. */
interface WaitingStream {
  readonly writer: CommandWriter;
  expect(call: PendingCall): void;
}

/** Takes the number of replicas that have confirmed, or an error; null if the connection was lost. */
type OnWaited = (reply: Reply) => void;

export class ReplicaWait {
  #isPending = false;
  /** Those that the next WAIT is for. */
  #joined: OnWaited[] = [];
  #afterwards: (() => void)[] = [];

  constructor(private readonly stream: WaitingStream) {}

  /** Whether a WAIT is unanswered: nothing should be sent now. */
  get isPending(): boolean {
    return this.#isPending;
  }

  /**
   * A WAIT follows at the end of this turn, one for all callers, with the values of the first one. Call this before
   * {@link WaitingStream.expect}, so that both leave in one write.
   */
  join(wait: Wait, onWaited: OnWaited): void {
    this.#joined.push(onWaited);
    if (this.#joined.length === 1) void Promise.resolve().then(() => this.#send(wait));
  }

  /** Calls `run` when the pending WAIT has its outcome, after those that it was for. */
  afterwards(run: () => void): void {
    this.#afterwards.push(run);
  }

  #send({ replicas, timeoutMs }: Wait): void {
    const joined = this.#joined;
    this.#joined = [];
    this.#isPending = true;
    const { writer } = this.stream;
    writer.command(3);
    writer.asciiPart('WAIT');
    writer.numberPart(replicas);
    writer.numberPart(timeoutMs);
    this.stream.expect(new WaitCall((reply) => this.#onWaited(joined, reply)));
  }

  #onWaited(joined: readonly OnWaited[], reply: Reply): void {
    this.#isPending = false;
    const afterwards = this.#afterwards;
    this.#afterwards = [];
    for (const onWaited of joined) onWaited(reply);
    for (const run of afterwards) run();
  }
}

class WaitCall extends PendingCall {
  #reply: Reply = null;

  constructor(private readonly onWaited: OnWaited) {
    super();
  }

  override onReply(reply: Reply): boolean {
    this.#reply = reply;
    return true;
  }

  override onComplete(): void {
    this.onWaited(this.#reply);
  }

  override onLost(): void {
    this.onWaited(null);
  }
}
