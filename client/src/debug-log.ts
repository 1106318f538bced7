/** Debug log of a client's connections in the console. It never contains publication data or tokens. */
import type { OutgoingCommand, ServerMessage } from '@fanfare/protocol';

/** `FANFARE_DEBUG = true` in the console of a page enables the log of all its clients. */
type Global = { readonly FANFARE_DEBUG?: unknown };

export class DebugLog {
  constructor(public isWanted: boolean) {}

  get isOn(): boolean {
    return this.isWanted || (globalThis as Global).FANFARE_DEBUG === true;
  }

  write(...what: unknown[]): void {
    // biome-ignore lint/suspicious/noConsole: this is the purpose of this class.
    if (this.isOn) console.debug(new Date().toISOString(), 'Fanfare', ...what);
  }

  /** Logs an outgoing command. */
  sent({ type, id, topic = '' }: Pick<OutgoingCommand, 'type' | 'id'> & { readonly topic?: string }): void {
    this.write('>', type, id, topic);
  }

  /** Logs an incoming message. */
  received(message: ServerMessage): void {
    if (!this.isOn) return;
    const { type, items, publications, ...fields } = { items: null, publications: null, ...message };
    this.write('<', type, fields, (items ?? publications)?.length ?? '');
  }
}
