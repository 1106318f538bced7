/** The hooks, and their types. */
import type { Client, ConnectionState, PublicationOf } from '@fanfare/client';
import { type ReactElement, useContext, useMemo, useSyncExternalStore } from 'react';
import { enqueue, withdraw } from './batches.js';
import { ClientContext } from './context.js';
import { FanfareProvider, type FanfareProviderProps } from './provider.js';
import { choiceOf, type LastOptions, type ListItem, type ListOptions, type ReduceOptions } from './topic-options.js';
import { topicSource } from './topic-source.js';
import type { TopicState } from './topic-store.js';

/** `useTopic()` for a topic map. */
// The signatures say `keyof … & string`, not TopicOf: the compiler then lists the valid topics if one is misspelled.
export interface UseTopic<Received extends object> {
  /**
   * Subscribes to a topic, and returns a state that it builds from the publications:
   * `useTopic('votes', { reduce: (sum, { data }) => sum + data.count, initial: 0 })`. Declare `reduce` and `initial`
   * outside of components if several components use them: they then share one state.
   */
  <Topic extends keyof Received & string, State>(
    topic: Topic,
    options: ReduceOptions<PublicationOf<Received, Topic>, State>,
  ): TopicState<State>;
  /**
   * Subscribes to a topic, and returns its publications as a list, oldest first: `useTopic('chat', { list: 200, last: 50
   * })` keeps at most 200, and begins with the last 50 of the history.
   */
  <Topic extends keyof Received & string>(
    topic: Topic,
    options: ListOptions,
  ): TopicState<readonly ListItem<PublicationOf<Received, Topic>>[]>;
  /**
   * Subscribes to a topic while the component is mounted and visible, and returns the data of the last publication.
   * `{ last: 1 }` begins with the last publication of the history.
   *
   * Components share one subscription per client, topic and options. It ends one second after the last of them is
   * unmounted or hidden. A hidden component that is shown again continues from where it was: publications that it missed
   * follow, or `gap` is set. The component renders at most once per 16 ms, and not at all on a server.
   *
   * Throws a `TypeError` for invalid options, and the error of `subscribe()` of the client for an invalid topic, `since`
   * or `last`; an error boundary gets it.
   */
  <Topic extends keyof Received & string>(
    topic: Topic,
    options?: LastOptions,
  ): TopicState<PublicationOf<Received, Topic>['data'] | undefined>;
}

/** What `createHooks()` returns. */
export interface Hooks<Published extends object, Received extends object> {
  /**
   * Gives the components below it a client. It connects when a component first uses the client, never on a server.
   * Throws a `TypeError` if `client` is neither a client nor a function that creates one.
   */
  readonly FanfareProvider: (props: FanfareProviderProps<Client<Published, Received>>) => ReactElement;
  /** Returns the client, for example to publish. Throws an `Error` if there is no `FanfareProvider` above the component. */
  readonly useClient: () => Client<Published, Received>;
  /**
   * Returns the state of the connection, as `client.state`. It does not connect. On a server, and for the first render of
   * a page from a server, the state is `disconnected` with the code `notConnected`.
   */
  readonly useConnection: () => ConnectionState;
  readonly useTopic: UseTopic<Received>;
}

/**
 * Returns the provider and the hooks for topics of your types. They are the same functions for every topic map; only their
 * types differ. The type parameters are the ones of `Client`; the second is needed only if schemas transform data.
 *
 * @example
 * interface Topics { 'chat.lobby': { readonly text: string } }
 * export const { FanfareProvider, useClient, useConnection, useTopic } = createHooks<Topics>();
 */
export function createHooks<Published extends object, Received extends object = Published>(): Hooks<
  Published,
  Received
> {
  // The topic map exists only at compile time: it is the app that says which topics its client has.
  return { FanfareProvider, useClient, useConnection, useTopic } as unknown as Hooks<Published, Received>;
}

function useClient(): Client {
  const client = useContext(ClientContext);
  if (client === null) throw new Error('There is no client: put the component below a <FanfareProvider>.');
  return client;
}

/** Equal on the server and in the browser, whatever the client does meanwhile. */
const notConnected: ConnectionState = {
  name: 'disconnected',
  code: 'notConnected',
  reason: 'The page does not use the connection yet.',
  closeCode: null,
};

function useConnection(): ConnectionState {
  const client = useClient();
  const { subscribe, getSnapshot } = useMemo(() => connectionSource(client), [client]);
  return useSyncExternalStore(subscribe, getSnapshot, () => notConnected);
}

function connectionSource(client: Client) {
  return {
    subscribe(onChange: () => void): () => void {
      const batch = { deliver: onChange };
      const stop = client.on('state', () => enqueue(batch));
      return () => {
        stop();
        withdraw(batch);
      };
    },
    getSnapshot: () => client.state,
  };
}

function useTopic(topic: string, options: object = {}): TopicState<unknown> {
  const client = useClient();
  const choice = choiceOf(topic, options);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `reduce` and `initial` may be new objects at each render.
  const source = useMemo(() => topicSource(client, choice), [client, choice.key]);
  return useSyncExternalStore(source.subscribe, source.getSnapshot, source.getServerSnapshot);
}
