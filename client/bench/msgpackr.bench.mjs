/**
 * What the data of a publication costs a client: with the strict codec, and with msgpackr. Rounds are interleaved; the
 * figures are medians, in ns per call. Takes half a minute. Run by `npm run bench:msgpackr -w client`.
 */
import { createMsgpackData } from '../dist/msgpack-data.js';
import { createMsgpackrData } from '../dist/msgpackr-data.js';

const roundMs = 40;
const rounds = 15;

const order = (id) => ({ id, symbol: 'BTC-EUR', side: 'buy', price: 64_000.5, amount: 0.25, at: 1_790_000_000_123 });
const samples = {
  'chat message, 6 fields': {
    id: 4711,
    user: 'user-17',
    text: 'x'.repeat(80),
    at: new Date(),
    likes: 3,
    edited: false,
  },
  '100 orders, 6 fields each': Array.from({ length: 100 }, (_, id) => order(id)),
  'order book, 200 floats': Array.from({ length: 200 }, (_, index) => 64_000 + index / 8),
  'nested, 4 levels': { a: { b: { c: { d: [1, 2, 3], e: 'text' }, f: order(1) }, g: [order(2), order(3)] } },
  '8 kB of text': { text: 'The quick brown fox jumps over the lazy dog. '.repeat(180) },
  'map of 100 orders': new Map(Array.from({ length: 100 }, (_, id) => [`order-${id}`, order(id)])),
  'Float64Array of 1000': new Float64Array(1_000).map((_, index) => index / 8),
};

/** What the strict codec cannot carry. */
const isRich = (value) => value instanceof Map || value instanceof Float64Array;

const codecs = { strict: createMsgpackData(), msgpackr: createMsgpackrData() };

let seen = 0;
const cases = Object.entries(samples).flatMap(([name, value]) =>
  Object.entries(codecs)
    .filter(([codec]) => codec === 'msgpackr' || !isRich(value))
    .map(([codec, { encode, decode }]) => {
      const bytes = Uint8Array.from(encode(value));
      return {
        ...{ name, codec, bytes: bytes.length, encode: [], decode: [] },
        runs: {
          encode: () => {
            seen += encode(value).length;
          },
          decode: () => {
            seen += decode(bytes.subarray()) === undefined ? 0 : 1;
          },
        },
      };
    }),
);

function nsPerCall(run) {
  const start = process.hrtime.bigint();
  const end = start + BigInt(roundMs * 1e6);
  let [count, now] = [0, start];
  while (now < end) {
    for (let index = 0; index < 20; index++) run();
    count += 20;
    now = process.hrtime.bigint();
  }
  return Number(now - start) / count;
}

for (let round = -2; round < rounds; round++) {
  for (const { runs, ...figures } of cases) {
    for (const [name, run] of Object.entries(runs)) {
      const ns = nsPerCall(run);
      if (round >= 0) figures[name].push(ns);
    }
  }
}
if (seen === 0) throw new Error('Nothing was encoded.');

const median = (list) => Math.round(list.sort((a, b) => a - b)[list.length >> 1]);
const cell = (of, name) => (of === undefined ? '–' : String(Array.isArray(of[name]) ? median(of[name]) : of[name]));
const print = (cells) => process.stdout.write(`| ${cells.join(' | ')} |\n`);
print(['data', 'bytes: strict', 'msgpackr', 'encode, ns: strict', 'msgpackr', 'decode, ns: strict', 'msgpackr']);
print(['---', ...Array.from({ length: 6 }, () => '---')]);
for (const name of Object.keys(samples)) {
  const pair = Object.keys(codecs).map((codec) => cases.find((one) => one.name === name && one.codec === codec));
  print([name, ...['bytes', 'encode', 'decode'].flatMap((what) => pair.map((of) => cell(of, what)))]);
}
