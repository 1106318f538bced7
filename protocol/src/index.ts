/** The wire format of Fanfare. PROTOCOL.md is its specification. */
export type { ClientCodec } from './client-codec.js';
export { type Encoding, endpointPath, protocolVersion, subprotocols } from './encoding.js';
export {
  type CloseReason,
  closeCodes,
  closeReasons,
  closeTextOf,
  PeerError,
  ReplyError,
  type ReplyErrorCode,
  replyErrors,
  shouldReconnect,
} from './errors.js';
export { httpStatusOf, isRetryable, type RequestErrorCode, requestErrors } from './http-errors.js';
export { impossible } from './impossible.js';
export { jsonClientCodec, jsonMessage } from './json-client-codec.js';
export { kindOf } from './json-data.js';
export { jsonFault } from './json-fault.js';
export { JsonNodeCodec, keyMembers } from './json-node-codec.js';
export { batchSpans, dataSpans, type Span, valueSpan } from './json-spans.js';
export { JsonWriter } from './json-writer.js';
export * from './messages.js';
export { type DataCodec, MsgpackClientCodec } from './msgpack-client-codec.js';
export { MsgpackNodeCodec } from './msgpack-node-codec.js';
export { isMsgpackValue } from './msgpack-value.js';
export { CommandError, type CommandSink, type Frame, type NodeCodec, removeRule } from './node-codec.js';
export type { KeyedPayload, Payload } from './payload.js';
export { isEpoch, maxEpochBytes, type Position } from './position.js';
export { parsePositionsText, parsePositionText, positionsText, positionText } from './position-text.js';
export { LayoutError, Reader } from './reader.js';
export {
  checkRun,
  emptyRun,
  forEachItem,
  maxItemBytes,
  maxRunBytes,
  type Run,
  readItem,
  skipItem,
  writeItem,
} from './run.js';
export { type Sequence, Sequencer } from './sequencer.js';
export { explainInvalidTopic, maxTopicBytes, maxTopicSegments, parseTopic, type Topic, TopicReader } from './topic.js';
export { type TraceIds, TraceSampler, traceOf } from './trace.js';
export { writeAsJson } from './transcode.js';
export { isAscii, Writer } from './writer.js';
