/**
 * What a frame costs the node, next to what general decoders take for the same bytes. Medians of interleaved rounds, in
 * ns per operation; the figures say which of two ways is faster on this machine, not how fast a broker is.
 * Run by `npm run bench -w protocol`.
 */
import { Packr } from 'msgpackr';
import {
  JsonNodeCodec,
  jsonClientCodec,
  MsgpackClientCodec,
  MsgpackNodeCodec,
  Writer,
  writeItem,
} from '../dist/index.js';

const roundMs = 40;
const rounds = 15;

const packr = new Packr({ useRecords: false });
const dataCodec = { encode: (data) => packr.pack(data), decode: (bytes) => packr.unpack(bytes) };
const msgpackNode = new MsgpackNodeCodec();
const jsonNode = new JsonNodeCodec();
const msgpackClient = new MsgpackClientCodec(dataCodec);

const data = { id: 4711, at: 1_700_000_000_000, text: 'x'.repeat(76) };
const command = { type: 'publish', id: 1, topic: 'prices.BTC-EUR', data, messageId: null };
const msgpackFrame = Buffer.from(msgpackClient.encode(command));
const jsonText = jsonClientCodec.encode(command);
const jsonFrame = Buffer.from(jsonText);

let seen = 0;
const sink = {
  isOver: false,
  onCommand: (decoded) => {
    seen += decoded.end;
  },
  onCommandError: (error) => {
    throw error;
  },
};

function runOf(encoding) {
  const writer = new Writer();
  const bytes = encoding === 'msgpack' ? packr.pack(data) : Buffer.from(JSON.stringify(data));
  for (let index = 0; index < 64; index++)
    writeItem(writer, { encoding, bytes, start: 0, end: bytes.length, key: null, remove: false });
  return { count: 64, bytes: writer.toBytes(), hasKeys: false };
}
const msgpackRun = runOf('msgpack');
const jsonRun = runOf('json');
const values = Array.from({ length: 64 }, () => ({ data }));
const emit = (frame) => {
  seen += frame.length;
};
const topic = 'prices.BTC-EUR';

const cases = {
  [`decode: msgpack publish (${msgpackFrame.length} B)`]: () => msgpackNode.decode(msgpackFrame, sink),
  '  msgpackr.unpack of the same frame': () => packr.unpack(msgpackFrame),
  [`decode: JSON publish (${jsonFrame.length} B)`]: () => jsonNode.decode(jsonFrame, sink),
  '  JSON.parse of the same text': () => JSON.parse(jsonText),
  '  JSON.parse of the same bytes': () => JSON.parse(jsonFrame.toString()),
  'encode: 64 publications, msgpack to msgpack': () => msgpackNode.publications(topic, null, msgpackRun, emit),
  'encode: 64 publications, JSON to JSON': () => jsonNode.publications(topic, null, jsonRun, emit),
  'encode: 64 publications, msgpack to JSON': () => jsonNode.publications(topic, null, msgpackRun, emit),
  '  msgpackr.pack of the same values': () => packr.pack([64, topic, null, null, values]),
  '  JSON.stringify of the same values': () => JSON.stringify({ type: 'publications', topic, items: values }),
};

function nsPerOperation(run) {
  const start = process.hrtime.bigint();
  const end = start + BigInt(roundMs * 1e6);
  let count = 0;
  let now = start;
  while (now < end) {
    for (let index = 0; index < 100; index++) run();
    count += 100;
    now = process.hrtime.bigint();
  }
  return Number(now - start) / count;
}

const figures = Object.fromEntries(Object.keys(cases).map((name) => [name, []]));
for (let round = -2; round < rounds; round++) {
  for (const [name, run] of Object.entries(cases)) {
    const ns = nsPerOperation(run);
    if (round >= 0) figures[name].push(ns);
  }
}
for (const [name, list] of Object.entries(figures)) {
  list.sort((a, b) => a - b);
  process.stdout.write(
    `${name.padEnd(48)}${Math.round(list[list.length >> 1])
      .toString()
      .padStart(9)} ns\n`,
  );
}
if (seen === 0) throw new Error('Nothing was decoded.');
