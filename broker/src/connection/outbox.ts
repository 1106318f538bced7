/** Gathers the replies of a turn, so that each connection's leave in one system call. */

export interface Sender {
  /** Sends what has gathered. */
  sendReplies(): void;
}

export class Outbox {
  #senders: Sender[] = [];

  /** Has `sender` send when the present callback is over. To be called once until then. */
  add(sender: Sender): void {
    if (this.#senders.length === 0) queueMicrotask(() => this.flush());
    this.#senders.push(sender);
  }

  /** Sends what has gathered now: what is delivered next must not overtake it. */
  flush(): void {
    if (this.#senders.length === 0) return;
    const senders = this.#senders;
    this.#senders = [];
    for (const sender of senders) sender.sendReplies();
  }
}
