/** Counts messages that were sent, and messages whose outcome is known. Outcomes arrive in the order of sending. */
export class Outcomes {
  #sent = 0;
  #known = 0;
  readonly #waiting: { readonly until: number; resolve(): void }[] = [];

  onSent(): void {
    this.#sent++;
  }

  onKnown(): void {
    this.#known++;
    while (this.#waiting[0] !== undefined && this.#waiting[0].until <= this.#known) this.#waiting.shift()?.resolve();
  }

  /** Resolves when everything that was sent so far has its outcome. */
  async settled(): Promise<void> {
    const until = this.#sent;
    if (this.#known < until) await new Promise<void>((resolve) => this.#waiting.push({ until, resolve }));
  }
}
