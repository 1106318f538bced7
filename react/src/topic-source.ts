/** What a component gives to `useSyncExternalStore`: the store that it shares with others, found when it is first read. */
import type { Client } from '@fanfare/client';
import type { TopicChoice } from './topic-options.js';
import { firstState, type TopicState, TopicStore } from './topic-store.js';

interface TopicSource {
  readonly subscribe: (onChange: () => void) => () => void;
  readonly getSnapshot: () => TopicState<unknown>;
  readonly getServerSnapshot: () => TopicState<unknown>;
}

/** The stores in use, by client, and then by topic and options. */
const stores = new WeakMap<Client, Map<string, TopicStore>>();

export function topicSource(client: Client, choice: TopicChoice): TopicSource {
  const onServer = firstState(choice.initial, () => {});
  let store: TopicStore | undefined;
  // React on a server reads only getServerSnapshot(), so there is no store on a server, and nothing to clean up.
  const shared = (): TopicStore => (store ??= storeOf(client, choice));
  return {
    subscribe: (onChange) => shared().subscribe(onChange),
    getSnapshot: () => shared().getSnapshot(),
    getServerSnapshot: () => onServer,
  };
}

function storeOf(client: Client, choice: TopicChoice): TopicStore {
  const known = stores.get(client) ?? new Map<string, TopicStore>();
  stores.set(client, known);
  const key = [choice.key, identityOf(choice.reduce), identityOf(choice.initial)].join();
  const found = known.get(key);
  if (found !== undefined) return found;
  const created = new TopicStore(client, choice, {
    // Another component may have created a store meanwhile. Both continue.
    onOpen: (store) => known.set(key, known.get(key) ?? store),
    onClose: (store) => known.get(key) === store && known.delete(key),
  });
  known.set(key, created);
  return created;
}

const identities = new WeakMap<object, number>();
let lastIdentity = 0;

/** Equal only for the same value, like `Object.is()`. */
function identityOf(value: unknown): string {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) {
    return `${typeof value} ${JSON.stringify(String(value))}`;
  }
  const identity = identities.get(value) ?? ++lastIdentity;
  identities.set(value, identity);
  return `object ${identity}`;
}
