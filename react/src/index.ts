'use client';
/**
 * React hooks for Fanfare. Begin with `createHooks()` and a topic map. The hooks exported here have no topic map: every
 * topic is allowed, and data is `unknown`.
 * @module
 */
import type { AnyTopics } from '@fanfare/client';
import { createHooks } from './hooks.js';

export { createHooks, type Hooks, type UseTopic } from './hooks.js';
export type { FanfareProviderProps } from './provider.js';
export type { LastOptions, ListItem, ListOptions, ReduceOptions } from './topic-options.js';
export type { TopicGap, TopicReset, TopicState } from './topic-store.js';

export const { FanfareProvider, useClient, useConnection, useTopic } = createHooks<AnyTopics>();
