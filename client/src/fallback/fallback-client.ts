/** The client of `@fanfare/client/fallback`: a client that knows which transport it uses. */
import { Client } from '../client.js';
import type { AnyTopics } from '../topics.js';
import type { RaceSettings } from './racing-socket.js';
import type { Transport } from './transports.js';

export class FallbackClient<Published extends object = AnyTopics, Received extends object = Published> extends Client<
  Published,
  Received
> {
  readonly #inUse: RaceSettings['inUse'];

  /** @internal Use `createClient`. */
  constructor(inUse: RaceSettings['inUse'], ...rest: ConstructorParameters<typeof Client>) {
    super(...rest);
    this.#inUse = inUse;
  }

  /**
   * The transport of the connection; null if there is no connection. It changes only together with the `state`. A page
   * may show a hint if it is not `'webSocket'`: publications then take longer and cost more.
   */
  get transport(): Transport | null {
    const [transport = null] = this.#inUse.values();
    return transport;
  }
}
