/**
 * Collects the replies of one turn of the event loop, so that the node sends the replies of each connection in one
 * system call.
 */

export interface ReplySender {
  /** Sends the collected replies. */
  sendReplies(): void;
}

export class ReplyBuffer {
  #senders: ReplySender[] = [];

  /** Makes `sender` send when the current callback has returned. Call this once until then. */
  add(sender: ReplySender): void {
    if (this.#senders.length === 0) queueMicrotask(() => this.flush());
    this.#senders.push(sender);
  }

  /** Sends now: the next delivery must not overtake a reply. */
  flush(): void {
    if (this.#senders.length === 0) return;
    const senders = this.#senders;
    this.#senders = [];
    for (const sender of senders) sender.sendReplies();
  }
}
