/** What happens on the connections of a client, in the console, to look for a fault. No data of publications and no token is in it. */
import type { OutgoingCommand, ServerMessage } from '@fanfare/protocol';

/** `FANFARE_DEBUG = true` in the console of a page switches the log of all its clients on. */
type Global = { readonly FANFARE_DEBUG?: unknown };

export class DebugLog {
  constructor(public isWanted: boolean) {}

  get isOn(): boolean {
    return this.isWanted || (globalThis as Global).FANFARE_DEBUG === true;
  }

  write(...what: unknown[]): void {
    // biome-ignore lint/suspicious/noConsole: that is what it is for.
    if (this.isOn) console.debug(new Date().toISOString(), 'Fanfare', ...what);
  }

  /** A command that leaves. */
  sent({ type, id, topic = '' }: Pick<OutgoingCommand, 'type' | 'id'> & { readonly topic?: string }): void {
    this.write('>', type, id, topic);
  }

  /** A message that has come. */
  received(message: ServerMessage): void {
    if (!this.isOn) return;
    const { type, items, publications, ...fields } = { items: null, publications: null, ...message };
    this.write('<', type, fields, (items ?? publications)?.length ?? '');
  }
}
