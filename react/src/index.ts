'use client';
/**
 * React hooks for Fanfare. Begin with `createHooks()` and a topic map. The hooks exported here have no topic map: every
 * topic is allowed, and data is `unknown`.
 * @module
 */
import type { AnyTopics } from '@fanfare/client';
import { createHooks, type Hooks } from './hooks.js';

export { createHooks, type Hooks, type UseTopic } from './hooks.js';
export type { FanfareProviderProps } from './provider.js';
export type { LastOptions, ListItem, ListOptions, ReduceOptions } from './topic-options.js';
export type { TopicGap, TopicReset, TopicState } from './topic-store.js';

type AnyHooks = Hooks<AnyTopics, AnyTopics>;

// Named types: in some builds, TypeScript 7.0 writes an inferred ReactElement into the declarations without its import.
const hooks: AnyHooks = createHooks();
export const FanfareProvider: AnyHooks['FanfareProvider'] = hooks.FanfareProvider;
export const useClient: AnyHooks['useClient'] = hooks.useClient;
export const useConnection: AnyHooks['useConnection'] = hooks.useConnection;
export const useTopic: AnyHooks['useTopic'] = hooks.useTopic;
