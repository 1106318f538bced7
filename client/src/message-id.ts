/** Identities of publications, so that a repeated publish is recognised as one. */

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-';

/** 21 characters of 6 random bits: as unlikely to repeat as a random UUID. */
const length = 21;

// Asking for random bytes costs more than using them: a pool is 40 times cheaper per id (nanoid does the same).
const pool = new Uint8Array(length * 64);
let used = pool.length;

export function createMessageId(): string {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  let id = '';
  for (const end = used + length; used < end; used++) id += alphabet[(pool[used] as number) & 63];
  return id;
}
