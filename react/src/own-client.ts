/** A client that a provider has created, and closes when it is not used anymore. */
import type { Client } from '@fanfare/client';
import { lingerMs } from './linger.js';

export class OwnClient {
  readonly client: Client;
  #closing: ReturnType<typeof setTimeout> | undefined;
  #mustConnect = false;

  constructor(client: Client) {
    this.client = client;
  }

  /** Call it when the provider is shown. A provider in an `<Activity>` may be shown again after its client was closed. */
  use(): void {
    clearTimeout(this.#closing);
    if (!this.#mustConnect) return;
    this.#mustConnect = false;
    // The state of the connection reports a failure.
    this.client.connect().catch(() => {});
  }

  /** Call it when the provider is hidden or removed. StrictMode does so once, and shows it again at once. */
  release(): void {
    this.#closing = setTimeout(() => {
      const { state } = this.client;
      // If the app or the node has disconnected the client, it stays disconnected.
      this.#mustConnect = state.name !== 'disconnected' || state.code === 'notConnected';
      // Even if it was never connected: a callback of a removed component must not connect it.
      void this.client.close();
    }, lingerMs);
  }
}
