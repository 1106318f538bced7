/** Identities of publications: the broker recognizes a publication that is sent again by its id. */

/**
 * Returns a function that makes ids. An id is a random prefix of 120 bits, the same for all ids of one function, and a
 * count. Random bytes for each id would cost more than the rest of a publish (2.5 µs in Node 20).
 */
export function messageIds(): () => string {
  const prefix = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(15))));
  let count = 0;
  return () => prefix + (count++).toString(36);
}
