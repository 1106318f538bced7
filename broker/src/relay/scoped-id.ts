/** A messageId and its publisher: the same messageId of another publisher is another publication. */
import { createHash } from 'node:crypto';

declare const scope: unique symbol;
declare const scoped: unique symbol;

/** The prefix of all messageIds of a publisher in the relay. */
export type IdScope = string & { readonly [scope]: true };

/** Identifies a publication in the relay: at most 81 bytes of printable ASCII, 17 more than a messageId. */
export type ScopedId = string & { readonly [scoped]: true };

/** For publishers that the node cannot distinguish: they share their messageIds. */
export const sharedScope = '' as IdScope;

/** 96 bits of a hash: nobody finds a name that has the scope of another publisher. */
const hashCharacters = 16;

/** `publisher`: its name, of any length. */
export function scopeOf(publisher: string): IdScope {
  const hash = createHash('sha256').update(publisher).digest('base64url').slice(0, hashCharacters);
  // No messageId contains a space, so none in the shared scope equals one in another scope.
  return `${hash} ` as IdScope;
}

export function scopedId(scope: IdScope, messageId: string): ScopedId {
  return (scope + messageId) as ScopedId;
}
