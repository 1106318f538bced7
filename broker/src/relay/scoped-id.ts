/** A messageId and whose it is: the same messageId of another publisher is another publication. */
import { createHash } from 'node:crypto';

declare const scope: unique symbol;
declare const scoped: unique symbol;

/** What all messageIds of a publisher begin with in the relay. */
export type IdScope = string & { readonly [scope]: true };

/** What the relay recognises a publication by: at most 81 bytes of printable ASCII, 17 more than a messageId. */
export type ScopedId = string & { readonly [scoped]: true };

/** Of publishers that are not known apart: they share their messageIds. */
export const sharedScope = '' as IdScope;

/** 96 bits of a hash: nobody finds a name that has the scope of another publisher. */
const hashCharacters = 16;

/** `publisher`: its name, of any length. */
export function scopeOf(publisher: string): IdScope {
  const hash = createHash('sha256').update(publisher).digest('base64url').slice(0, hashCharacters);
  // No messageId has a space in it, so none in the shared scope is like one in another.
  return `${hash} ` as IdScope;
}

export function scopedId(scope: IdScope, messageId: string): ScopedId {
  return (scope + messageId) as ScopedId;
}
