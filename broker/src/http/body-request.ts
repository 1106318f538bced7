/** A request with a body: finds out who sends it and reads the body, then carries it out. */
import type { OutgoingReply } from '@fanfare/protocol';
import type { BodyReader, Exchange } from './exchange.js';
import { type HttpContext, identify, type Sender, type SenderReader } from './http-context.js';
import { Problem } from './problem.js';
import type { ReplyReader } from './request-caller.js';

export abstract class BodyRequest implements SenderReader, BodyReader, ReplyReader {
  #sender: Sender | null = null;
  /** The body, if it is complete before the sender is known. */
  #body: Uint8Array | null = null;

  constructor(
    protected readonly exchange: Exchange,
    protected readonly context: HttpContext,
  ) {}

  /** Carries out the request. `body` is valid until this returns. Throws Problem. */
  protected abstract carryOut(body: Uint8Array, sender: Sender): void;

  abstract onReply(reply: OutgoingReply): void;

  /** Call it in the handler of the request. `most`: the maximum length of the body in bytes. */
  receive(most: number): void {
    const { exchange, context } = this;
    const admission = identify(exchange, context, this);
    if (admission !== null) exchange.readBody(most, admission.owner, admission.isService, this);
  }

  onBody(body: Uint8Array): void {
    if (this.#sender !== null) this.#carryOut(body, this.#sender);
    // A copy: the bytes are valid only now.
    else if (this.exchange.holdBody(body.length)) this.#body = body.slice();
  }

  #carryOut(body: Uint8Array, sender: Sender): void {
    const subject = sender.session?.subject ?? null;
    const nowMs = performance.now();
    // A sender of many wrong requests is in debt. Its next body is not even parsed.
    if (subject !== null && !subject.maySendBody(nowMs)) {
      throw new Problem('rateLimited', 'Too many wrong requests. Retry in a moment.');
    }
    try {
      this.carryOut(body, sender);
    } catch (error) {
      if (error instanceof Problem) subject?.onWrongBody(body.length, nowMs);
      throw error;
    }
  }

  onSender(sender: Sender): void {
    this.#sender = sender;
    if (this.#body === null) return;
    try {
      this.#carryOut(this.#body, sender);
    } catch (error) {
      this.exchange.fail(error);
    }
  }
}
