/** What a node reads of HTTP requests: bodies that publish, keys, and queries. */
import { readLines, readObject } from '@fanfare/broker/internal/http/batch-request';
import { maxWaitSeconds, readHistoryQuery } from '@fanfare/broker/internal/http/history-request';
import { Problem } from '@fanfare/broker/internal/http/problem';
import { readData, readIdempotencyKey } from '@fanfare/broker/internal/http/publication';
import { Query } from '@fanfare/broker/internal/http/query';
import { isMessageId, maxHistoryLimit, parseTopic, positionText } from '@fanfare/protocol';
import { hold, holdEqual, holdSentence, list, type Target, textOf, texts } from '../target.js';

/** The result, or null if the request is refused: with one sentence and a status of the client's fault. */
function accepted<Result>(read: () => Result): Result | null {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const { code, detail, status } = error.body as { readonly [name: string]: unknown };
    hold(typeof status === 'number' && status >= 400 && status < 500, () => `${code} has the status ${status}.`);
    holdSentence(String(detail));
    return null;
  }
}

const maxDataBytes = 65_536;
const itemWords = list(
  '"topic": "topics": "data": "messageId": {"publications":[ ]} null "a" "a.b" "a b" \\ud800 \\n ,{',
);

function batch(
  about: string,
  seeds: readonly string[],
  read: typeof readObject,
  itemsOf: (text: string) => unknown[],
): Target {
  return {
    about,
    seeds: texts(...seeds),
    words: itemWords,
    files: ['broker/dist/http/batch-request', 'broker/dist/http/publication', 'broker/dist/http/json-depth'],
    maxBytes: 65_536,
    run(input) {
      const items = accepted(() => read(input, maxDataBytes));
      if (items === null) return;
      const given = itemsOf(textOf(input)) as {
        topic?: string;
        topics?: string[];
        data: unknown;
        messageId?: string;
      }[];
      const expected = given.flatMap(({ topic, topics, data, messageId = null }) =>
        (topics ?? [topic]).map((each) => ({ topic: each, data, messageId })),
      );
      holdEqual(items.length, expected.length, 'the number of publications');
      for (const [index, { topic, messageId, start, end }] of items.entries()) {
        hold(parseTopic(topic) !== null, () => `The topic is ${JSON.stringify(topic)}.`);
        hold(messageId === null || isMessageId(messageId), () => `The messageId is ${JSON.stringify(messageId)}.`);
        hold(end - start <= maxDataBytes, () => `Data of ${end - start} bytes.`);
        const data = JSON.parse(textOf(input.subarray(start, end))) as unknown;
        holdEqual({ topic, data, messageId: messageId ?? null }, expected[index], `publication ${index}`);
      }
    },
  };
}

export const batchJson: Target = batch(
  'JSON bodies of POST /v1/publications',
  [
    '{"publications":[{"topic":"orders.1","data":{"a":[1]},"messageId":"k"},{"topics":["a","b"],"data":null}]}',
    ' {"publications" : [ {"data":"}","topic":"a"} ] } ',
    '{"publications":[]}',
  ],
  readObject,
  (text) => (JSON.parse(text) as { readonly publications: unknown[] }).publications,
);

export const batchLines: Target = batch(
  'NDJSON bodies of POST /v1/publications',
  ['{"topic":"orders.1","data":{"a":[1]},"messageId":"k"}\n\n{"topics":["a","b"],"data":null}\r\n', '\n', '{}'],
  readLines,
  (text) => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a line with nothing else is skipped.
    const lines = text.split('\n').filter((line) => /[^\x00-\x20]/.test(line));
    return lines.map((line) => JSON.parse(line) as unknown);
  },
);

/** `<Content-Type>\n<Idempotency-Key>\n<body>`. */
export const publication: Target = {
  about: 'requests that publish one body',
  seeds: texts(
    'application/json\nkey-1\n{"a":1}',
    'application/json; charset=utf-8\n"quoted"\n "x" ',
    'application/msgpack\n\n\u0001',
    'text/plain\nä\nx',
  ),
  words: ['application/json', 'application/msgpack', 'application/x-msgpack', ';', '"', '\n', ' '],
  files: ['broker/dist/http/publication', 'broker/dist/http/json-depth'],
  maxBytes: 16_384,
  run(input) {
    const [type = '', key = ''] = Buffer.from(input).toString('latin1').split('\n');
    const messageId = accepted(() => readIdempotencyKey(key));
    hold(messageId === null || isMessageId(messageId), () => `The key is ${JSON.stringify(messageId)}.`);
    const body = input.slice(type.length + key.length + 2);
    const payload = accepted(() => readData(type, body));
    if (payload === null) return;
    const { encoding, start, end } = payload;
    hold(payload.bytes === body && start >= 0 && end <= body.length, () => `Data from ${start} to ${end}.`);
    if (encoding === 'msgpack') return;
    const data = JSON.parse(textOf(body.subarray(start, end))) as unknown;
    holdEqual(data, JSON.parse(textOf(body)), 'the data');
  },
};

/** `<topic>?<query>`. */
export const historyQuery: Target = {
  about: 'queries of GET /v1/topics/{topic}/publications and GET /v1/events',
  seeds: texts(
    'orders?since=1764563000000000-42&limit=10&direction=backward',
    'orders?since=now&wait=25',
    'a.b?topic=a&topic=b&envelope=1&since=e-1.f-2',
    'a?limit=0&limit=1',
  ),
  words: list('since= limit= direction= wait= topic= envelope= & = %00 %2e + now -1 1e3 forward backward * ~ .'),
  files: ['broker/dist/http/query', 'broker/dist/http/history-request', 'protocol/dist/position-text'],
  maxBytes: 4_096,
  run(input) {
    // uWebSockets passes the request line as ASCII or Latin-1.
    const text = Buffer.from(input).toString('latin1');
    const at = text.indexOf('?');
    const [parameter, query] = at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
    const history = accepted(() => readHistoryQuery({ parameter, query }));
    if (history !== null) {
      const { topic, since, limit, wait, direction } = history;
      hold(parseTopic(topic) === parameter, () => `The topic is ${JSON.stringify(topic)}.`);
      hold(limit === null || (limit >= 1 && limit <= maxHistoryLimit), () => `The limit is ${limit}.`);
      hold(wait === null || (wait >= 1 && wait <= maxWaitSeconds), () => `wait is ${wait}.`);
      hold(wait === null || direction !== 'backward', () => 'It waits backward.');
      const given = new URLSearchParams(query).get('since');
      if (since !== null) holdEqual(since === 'now' ? since : positionText(since), given, 'since');
    }
    const names = ['topic', 'since', 'envelope', 'wait', 'ticket'];
    const events = accepted(() => new Query(query, names, ['topic']));
    if (events === null) return;
    for (const name of names) {
      holdEqual(events.list(name), new URLSearchParams(query).getAll(name), name);
      hold(name === 'topic' || events.list(name).length <= 1, () => `${name} is there twice.`);
    }
    const wait = accepted(() => events.integer('wait', 1, maxWaitSeconds));
    hold(wait === null || (wait >= 1 && wait <= maxWaitSeconds), () => `wait is ${wait}.`);
  },
};
