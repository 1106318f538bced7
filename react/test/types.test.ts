/**
 * Typed topics. `@ts-expect-error` marks code that must not compile: `tsc --project tsconfig.test.json` fails if it
 * compiles.
 */
import {
  type Client,
  type ConnectionState,
  createClient,
  type Position,
  type Publication,
  type StandardSchemaV1,
} from '@fanfare/client';
import { createClient as createJsonClient } from '@fanfare/client/json';
import {
  createHooks,
  FanfareProvider,
  type ListItem,
  type TopicState,
  useClient,
  useConnection,
  useTopic,
} from '@fanfare/react';
import { createElement } from 'react';
import { expectTypeOf, it } from 'vitest';

interface Topics {
  'chat.lobby': { text: string };
  [topic: `prices.${string}`]: { readonly bid: number };
}

const typed = createHooks<Topics>();

/** Compiled, never run. A function that calls hooks is a hook. */
function useLastTypes(currency: string): void {
  const state = typed.useTopic('prices.BTC');
  expectTypeOf(state).toEqualTypeOf<TopicState<{ readonly bid: number } | undefined>>();
  expectTypeOf(state.data).not.toBeAny();
  expectTypeOf(state.position).toEqualTypeOf<Position | null>();
  expectTypeOf(typed.useTopic(`prices.${currency}`).data).toEqualTypeOf<{ readonly bid: number } | undefined>();
  expectTypeOf(typed.useTopic('chat.lobby', { last: 1 }).data).toEqualTypeOf<{ readonly text: string } | undefined>();
  typed.useTopic('chat.lobby', { last: undefined, since: undefined });
  // @ts-expect-error: no such topic.
  typed.useTopic('chat.attic');
  // @ts-expect-error: any text might be any topic.
  typed.useTopic(currency);
  // @ts-expect-error: no such option.
  typed.useTopic('chat.lobby', { max: 5 });
  // @ts-expect-error: data cannot be changed, because all components get the same object.
  if (state.data !== undefined) state.data.bid = 1;
}

function useListTypes(which: 'chat.lobby' | 'prices.BTC'): void {
  const { data } = typed.useTopic('chat.lobby', { list: 100, last: 50 });
  expectTypeOf(data).toEqualTypeOf<readonly ListItem<Publication<'chat.lobby', { readonly text: string }>>[]>();
  expectTypeOf(data[0]?.id).toEqualTypeOf<number | undefined>();
  expectTypeOf(data[0]?.data.text).toEqualTypeOf<string | undefined>();
  const several = typed.useTopic(which, { list: 5 });
  for (const item of several.data) {
    if (item.topic === 'chat.lobby') expectTypeOf(item.data).toEqualTypeOf<{ readonly text: string }>();
    else expectTypeOf(item.data).toEqualTypeOf<{ readonly bid: number }>();
  }
  // @ts-expect-error: no such topic.
  typed.useTopic('chat.attic', { list: 100 });
  // @ts-expect-error: a list cannot be changed.
  data.push(data[0]);
}

function useReduceTypes(): void {
  const highest = typed.useTopic('prices.BTC', {
    reduce: (max, { data, topic }) => {
      expectTypeOf(topic).toEqualTypeOf<'prices.BTC'>();
      expectTypeOf(max).toEqualTypeOf<number>();
      return Math.max(max, data.bid);
    },
    initial: 0,
  });
  expectTypeOf(highest).toEqualTypeOf<TopicState<number>>();
  // @ts-expect-error: the state is a number.
  typed.useTopic('prices.BTC', { reduce: (max: number, { data }) => String(max + data.bid), initial: 0 });
  // @ts-expect-error: a price has no text.
  typed.useTopic('prices.BTC', { reduce: (state: string, { data }) => state + data.text, initial: '' });
  // @ts-expect-error: list or reduce, not both.
  typed.useTopic('prices.BTC', { list: 5, reduce: (max: number) => max, initial: 0 });
}

function useClientsTypes(client: Client<Topics>, other: Client<{ orders: string }>): void {
  expectTypeOf(typed.useClient()).toEqualTypeOf<Client<Topics>>();
  expectTypeOf(typed.useConnection()).toEqualTypeOf<ConnectionState>();
  createElement(typed.FanfareProvider, { client });
  createElement(typed.FanfareProvider, { client: () => createClient<Topics>('/ws', { timeoutMs: 5 }) });
  createElement(typed.FanfareProvider, { client: () => createJsonClient<Topics>('/ws') });
  // @ts-expect-error: a client of other topics.
  createElement(typed.FanfareProvider, { client: other });
  // @ts-expect-error: no client.
  createElement(typed.FanfareProvider, {});
}

function useUntypedTypes(client: Client): void {
  createElement(FanfareProvider, { client });
  expectTypeOf(useTopic('anything').data).toEqualTypeOf<unknown>();
  expectTypeOf(useTopic('anything', { list: 5 }).data[0]?.data).toEqualTypeOf<unknown>();
  expectTypeOf(useClient()).toEqualTypeOf<Client>();
  expectTypeOf(useConnection()).toEqualTypeOf<ConnectionState>();
}

function useSchemasTypes(date: StandardSchemaV1<string, Date>): void {
  const hooks = createHooks<{ at: string }, { at: Date }>();
  createElement(hooks.FanfareProvider, { client: () => createClient('/ws', { schemas: { at: date } }) });
  expectTypeOf(hooks.useTopic('at').data).toEqualTypeOf<Date | undefined>();
  void hooks.useClient().publish('at', '2024-02-29');
  // @ts-expect-error: the input is text.
  void hooks.useClient().publish('at', new Date());
}

it('typed topics compile', () => {
  void [useLastTypes, useListTypes, useReduceTypes, useClientsTypes, useUntypedTypes, useSchemasTypes];
});
