/** How a node decodes frames from clients. */
import {
  type Command,
  CommandError,
  explainInvalidTopic,
  isEpoch,
  isMessageId,
  isToken,
  JsonNodeCodec,
  JsonWriter,
  jsonClientCodec,
  MsgpackClientCodec,
  MsgpackNodeCodec,
  maxCommandId,
  maxDataDepth,
  maxHistoryLimit,
  type NodeCodec,
  type OutgoingCommand,
  parseTopic,
  replyErrors,
  writeAsJson,
} from '@fanfare/protocol';
import { Finding, hold, holdEqual, holdSentence, list, type Target } from '../target.js';
import { goldenFrames } from './golden.js';

type Outcome = Command | CommandError;

function decode(codec: NodeCodec, frame: Uint8Array): Outcome[] {
  const outcomes: Outcome[] = [];
  codec.decode(frame, {
    isOver: false,
    onCommand: (command) => outcomes.push(command),
    onCommandError: (error) => outcomes.push(error),
  });
  return outcomes;
}

const isId = (id: number | null): boolean => id === null || (Number.isInteger(id) && id >= 1 && id <= maxCommandId);

/** PROTOCOL.md section 7. */
function holdLimits(outcome: Outcome, frame: Uint8Array): void {
  hold(isId(outcome.id), () => `The id is ${outcome.id}.`);
  if (outcome instanceof CommandError) {
    hold(Object.hasOwn(replyErrors, outcome.code), () => `The code is ${outcome.code}.`);
    holdSentence(outcome.message);
    return;
  }
  if ('topic' in outcome) hold(parseTopic(outcome.topic) !== null, () => explainInvalidTopic(outcome.topic));
  if ('since' in outcome && outcome.since !== null) {
    const { epoch, offset } = outcome.since;
    hold(isEpoch(epoch), () => `The epoch is ${JSON.stringify(epoch)}.`);
    hold(Number.isSafeInteger(offset) && offset >= 0, () => `The offset is ${offset}.`);
  }
  if ('limit' in outcome && outcome.limit !== null) {
    const { limit } = outcome;
    hold(Number.isInteger(limit) && limit >= 1 && limit <= maxHistoryLimit, () => `The limit is ${limit}.`);
  }
  if ('token' in outcome && outcome.token !== null) hold(isToken(outcome.token), () => 'The token is too long.');
  if (outcome.type !== 'publish') return;
  const { messageId, bytes, start, end } = outcome;
  hold(messageId === null || isMessageId(messageId), () => `The messageId is ${JSON.stringify(messageId)}.`);
  hold(bytes === frame && start <= end && start >= 0 && end <= frame.length, () => `Data from ${start} to ${end}.`);
}

const nodes = { json: new JsonNodeCodec(), msgpack: new MsgpackNodeCodec() };
const msgpackClient = new MsgpackClientCodec({
  encode: () => Uint8Array.of(0xc0),
  decode: () => null,
});

/** How many commands of a frame are also tried in the other encoding: a frame may contain thousands. */
const maxCompared = 32;

/** The other encoding reads the same command, and this one reads it again. */
function holdBothAgree(command: Command): void {
  // JSON can contain half of a surrogate pair; UTF-8, and so MessagePack, cannot. Only a token may be any text.
  if ('token' in command && /\p{Cs}/u.test(command.token ?? '')) return;
  const outgoing: OutgoingCommand = command.type === 'publish' ? { ...bare(command), data: null } : command;
  const asJson = new TextEncoder().encode(jsonClientCodec.encode(outgoing) as string);
  const asMsgpack = msgpackClient.encode(outgoing);
  for (const [other] of [decode(nodes.json, asJson), decode(nodes.msgpack, asMsgpack)]) {
    if (other === undefined || other instanceof CommandError)
      throw new Finding(`Only one accepts it: ${other?.message}`);
    holdEqual(bare(other), bare(command), 'The encodings disagree');
  }
}

/** Without the data; members in one order. */
function bare(command: Command) {
  const fields = Object.entries(command).filter(
    ([name]) => !['encoding', 'bytes', 'start', 'end', 'data'].includes(name),
  );
  return Object.fromEntries(fields.toSorted(([a], [b]) => (a < b ? -1 : 1))) as unknown as Command & {
    type: 'publish';
  };
}

const scratch = new JsonWriter(1024);

/** Checks that a JSON subscriber gets JSON. */
function holdJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Finding(`Not JSON: ${(error as Error).message}`);
  }
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const nodeMsgpack: Target = {
  about: 'MessagePack frames to a node',
  seeds: goldenFrames('to node', 'msgpack'),
  words: ['news', 'forward', 'backward', 'e1', Uint8Array.of(0xcf, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)],
  files: ['protocol/dist/msgpack-node-codec', 'protocol/dist/reader', 'protocol/dist/topic'],
  maxBytes: 65_536,
  run(input) {
    const outcomes = decode(nodes.msgpack, input);
    hold(outcomes.length >= 1, () => 'A frame without an answer.');
    hold(outcomes.length <= input.length / 2 + 1, () => `${outcomes.length} answers to ${input.length} bytes.`);
    for (const outcome of outcomes) holdLimits(outcome, input);
    for (const outcome of outcomes.slice(0, maxCompared)) {
      if (outcome instanceof CommandError) continue;
      holdBothAgree(outcome);
      if (outcome.type !== 'publish') continue;
      scratch.clear();
      if (writeAsJson(scratch, outcome)) holdJson(strict.decode(scratch.view()));
    }
  },
};

export const nodeJson: Target = {
  about: 'JSON frames to a node',
  seeds: goldenFrames('to node', 'json'),
  words: list(
    '"type": "publish" "subscribe" "history" "connect" "refresh" "ping" "id":1 "topic":"a" "data": "d\\u0061ta": "messageId":"m" "repeat":true "since":{"epoch":"e","offset":1} "limit": "direction": "token":"t" "backward" null {} [] [ {"data": 0, \\\\ \\u0000 \\ud800 \u2028 1e400 "__proto__":',
  ),
  files: ['protocol/dist/json-node-codec', 'protocol/dist/json-spans'],
  maxBytes: 65_536,
  run(input) {
    const outcomes = decode(nodes.json, input);
    hold(outcomes.length >= 1, () => 'A frame without an answer.');
    hold(outcomes.length <= input.length / 2 + 1, () => `${outcomes.length} answers to ${input.length} bytes.`);
    for (const outcome of outcomes) holdLimits(outcome, input);
    if (outcomes.every((outcome) => outcome instanceof CommandError)) return;
    const parsed: unknown = JSON.parse(strict.decode(input));
    const commands = (Array.isArray(parsed) ? parsed : [parsed]) as readonly { readonly data?: unknown }[];
    hold(commands.length === outcomes.length, () => `${outcomes.length} answers to ${commands.length} commands.`);
    for (const [index, outcome] of outcomes.slice(0, maxCompared).entries()) {
      if (outcome instanceof CommandError) continue;
      holdBothAgree(outcome);
      if (outcome.type !== 'publish') continue;
      const data = holdJson(strict.decode(input.subarray(outcome.start, outcome.end)));
      holdEqual(data, commands[index]?.data, 'The data is not what JSON.parse finds');
      hold(depthOf(data) <= maxDataDepth, () => `The data nests ${depthOf(data)} deep.`);
    }
  },
};

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let deepest = 0;
  for (const inner of Object.values(value)) deepest = Math.max(deepest, depthOf(inner));
  return deepest + 1;
}
