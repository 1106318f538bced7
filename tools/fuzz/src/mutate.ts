/** Mutates inputs. */
import type { Random } from './random.js';

/** Bytes at the limits of formats: integers, MessagePack's heads, the punctuation of JSON and HTTP. */
const edges = [
  ...[0x00, 0x01, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xe0, 0xff],
  ...Array.from({ length: 32 }, (_, index) => 0xc0 + index),
  ...new TextEncoder().encode('"\\{}[],:.-+eE019 \t\r\n*>$%@/=_'),
];

type Words = readonly Uint8Array[];

/** One to eight changes; never longer than `maxBytes`. */
export function mutate(
  input: Uint8Array,
  corpus: readonly Uint8Array[],
  words: Words,
  maxBytes: number,
  random: Random,
): Uint8Array {
  let output = input;
  for (let left = 1 + random.small(8); left > 0; left--) output = change(output, corpus, words, maxBytes, random);
  return output.length <= maxBytes ? output : output.slice(0, maxBytes);
}

function change(input: Uint8Array, corpus: Words, words: Words, maxBytes: number, random: Random): Uint8Array {
  const at = random.next(input.length + 1);
  const length = random.small(input.length - at + 1);
  switch (random.next(10)) {
    case 0:
      return put(input, at, 1, Uint8Array.of((input[at] ?? 0) ^ (1 << random.next(8))));
    case 1:
      return put(input, at, random.next(2), Uint8Array.of(random.pick(edges)));
    case 2:
      return put(input, at, random.next(2), Uint8Array.of(random.next(256)));
    case 3:
      return put(input, at, length, new Uint8Array(0));
    case 4: // a piece of itself, elsewhere
      return put(input, random.next(input.length + 1), 0, input.subarray(at, at + length));
    case 5: // a piece of itself, many times: shows costs that grow faster than the length
      return put(input, at, 0, repeat(input.subarray(at, at + Math.min(length, 16) + 1), maxBytes, random));
    case 6: {
      const other = corpus.length === 0 ? input : random.pick(corpus);
      return put(input, at, input.length - at, other.subarray(random.next(other.length + 1)));
    }
    case 7:
      return digits(input, at, random);
    default:
      return words.length === 0 ? input : put(input, at, random.next(3) === 0 ? length : 0, random.pick(words));
  }
}

function put(input: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array {
  const rest = input.subarray(Math.min(at + remove, input.length));
  const output = new Uint8Array(at + insert.length + rest.length);
  output.set(input.subarray(0, at));
  output.set(insert, at);
  output.set(rest, at + insert.length);
  return output;
}

function repeat(piece: Uint8Array, maxBytes: number, random: Random): Uint8Array {
  if (piece.length === 0) return piece;
  // Only a few inputs may have the maximum length.
  const most = random.next(50) === 0 ? maxBytes : 256;
  const times = 1 + random.next(Math.max(1, Math.floor(most / piece.length)));
  const output = new Uint8Array(piece.length * times);
  for (let index = 0; index < times; index++) output.set(piece, index * piece.length);
  return output;
}

const numbers = [
  '0',
  '-1',
  '1',
  '255',
  '256',
  '1001',
  '65536',
  '4294967295',
  '4294967296',
  '9007199254740991',
  '1e999',
];

/** Replaces a number in digits with another number. */
function digits(input: Uint8Array, from: number, random: Random): Uint8Array {
  const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39;
  let at = from;
  while (at < input.length && !isDigit(input[at])) at++;
  let end = at;
  while (isDigit(input[end])) end++;
  return put(input, at, end - at, new TextEncoder().encode(random.pick(numbers)));
}
