/** Gives components a client. */
import type { Client } from '@fanfare/client';
import { createElement, type ReactElement, type ReactNode, useEffect, useState } from 'react';
import { ClientContext } from './context.js';
import { OwnClient } from './own-client.js';

/** The properties of `FanfareProvider`. */
export interface FanfareProviderProps<Given = Client> {
  /**
   * A client, or a function that creates one.
   *
   * The function must only create the client: no `connect()`, no listeners. It may run more than once, for example in
   * StrictMode, or if a component suspends in its first render. The provider keeps one of the clients when React renders
   * again and on hot reload, and closes it one second after the provider was removed or hidden. If it is shown again, it
   * connects the client. To replace the client, for example for another user, give the provider another `key`. On a
   * server the function runs for each page; a client that nobody uses costs little and opens no connection.
   *
   * A client that you pass stays yours: the provider never closes it.
   */
  readonly client: Given | (() => Given);
  readonly children?: ReactNode;
}

export function FanfareProvider({ client, children }: FanfareProviderProps): ReactElement {
  const [own] = useState(() => (typeof client === 'function' ? new OwnClient(client()) : null));
  const given = own?.client ?? client;
  if (typeof (given as Partial<Client> | undefined)?.subscribe !== 'function') {
    throw new TypeError('<FanfareProvider> needs the property client: a client, or a function that creates one.');
  }
  useEffect(() => {
    own?.use();
    return () => own?.release();
  }, [own]);
  return createElement(ClientContext.Provider, { value: given as Client }, children);
}
