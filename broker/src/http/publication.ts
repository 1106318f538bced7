/** Reads what the publish routes share: data, messageIds, and outcomes. */
import { isUtf8 } from 'node:buffer';
import {
  isKey,
  isMessageId,
  isMsgpackValue,
  jsonFault,
  maxDataDepth,
  maxKeyBytes,
  maxMessageIdBytes,
  type OutgoingReply,
  type Payload,
  type Publish,
  removeRule,
  type Topic,
  valueSpan,
} from '@fanfare/protocol';
import { nanoid } from 'nanoid';
import { isTooDeep } from './json-depth.js';
import { isMaybeDelivered, Problem } from './problem.js';

/** The JSON value in a body or a line. `what` begins the sentence if it is invalid. Throws Problem `malformed`. */
export function parseJson(text: Uint8Array, what = 'The body'): unknown {
  // Subscribers get the text unchanged, and invalid UTF-8 would end their connections (RFC 6455 section 8.1).
  if (!isUtf8(text)) throw new Problem('malformed', `${what} is not UTF-8.`);
  if (isTooDeep(text)) throw tooDeep(what);
  try {
    // Faster than a TextDecoder, and it keeps a byte order mark too, which JSON.parse refuses.
    return JSON.parse(Buffer.from(text.buffer, text.byteOffset, text.length).toString('utf8'));
  } catch (error) {
    throw new Problem('malformed', `${what} is not JSON: ${jsonFault(error)}.`);
  }
}

/** The media type of a `Content-Type`, in lower case and without parameters. */
export function mediaTypeOf(contentType: string): string {
  const end = contentType.indexOf(';');
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

/** The body as the data of a publication, unchanged. Throws Problem. */
export function readData(contentType: string, body: Uint8Array): Payload {
  switch (mediaTypeOf(contentType)) {
    case 'application/json': {
      parseJson(body);
      const { start, end, depth } = valueSpan(body);
      if (depth > maxDataDepth) throw tooDeep('The data');
      return { encoding: 'json', bytes: body, start, end };
    }
    case 'application/msgpack':
    case 'application/vnd.msgpack':
    case 'application/x-msgpack':
      if (!isMsgpackValue(body)) throw new Problem('malformed', 'The body is not exactly one MessagePack value.');
      return { encoding: 'msgpack', bytes: body, start: 0, end: body.length };
    default:
      throw new Problem(
        'unsupportedMediaType',
        `${shownType(contentType)} The data is application/json or application/msgpack.`,
      );
  }
}

/** The beginning of the sentence about a wrong `Content-Type`. */
export function shownType(contentType: string): string {
  if (contentType === '') return 'The request has no Content-Type.';
  return `The Content-Type ${JSON.stringify(contentType.slice(0, 100))} is not supported.`;
}

export function tooDeep(what: string): Problem {
  return new Problem('malformed', `${what} is nested deeper than ${maxDataDepth} levels.`);
}

/**
 * The key in an `Idempotency-Key` header; null if there is none. It may be in quotes, as the IETF draft has it. Throws
 * Problem.
 */
export function readIdempotencyKey(header: string): string | null {
  if (header === '') return null;
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header;
  if (isMessageId(key)) return key;
  const rule = `must be 1 to ${maxMessageIdBytes} characters of printable ASCII without spaces`;
  throw new Problem('malformed', `Idempotency-Key ${rule}.`);
}

/**
 * The members `key` and `remove` of a publication; both may be undefined. `place` begins the sentence if something is
 * wrong, such as `publications[1]`. Throws Problem.
 */
export function readKey(place: string, key: unknown, remove: unknown): Pick<Publish, 'key' | 'remove'> {
  const malformed = (rule: string): Problem => new Problem('malformed', `${place}${rule}`);
  const isValid = typeof key === 'string' && isKey(key);
  if ((key ?? null) !== null && !isValid) {
    throw malformed(`"key" must be 1 to ${maxKeyBytes} characters of printable ASCII without spaces.`);
  }
  if (typeof (remove ?? false) !== 'boolean') throw malformed('"remove" must be true or false.');
  if (remove === true && !isValid) throw malformed(removeRule);
  return { key: isValid ? key : null, remove: remove === true };
}

/** A key for a publication whose sender gave none. It is in the answer, so that an unknown outcome can be repeated. */
export function newMessageId(): string {
  return nanoid();
}

/** The members of the answer to one accepted publication, as JSON without braces. `messageId`: null if it has none. */
export function acceptedText(
  topic: Topic,
  messageId: string | null,
  reply: OutgoingReply & { type: 'published' },
): string {
  const { position, isDuplicate = false } = reply;
  const id = messageId === null ? '' : `,"messageId":${JSON.stringify(messageId)}`;
  // Neither topics nor epochs contain anything that JSON escapes.
  if (position === null) return `"topic":"${topic}"${id}`;
  return `"topic":"${topic}","epoch":"${position.epoch}","offset":${position.offset}${id},"duplicate":${isDuplicate}`;
}

/** The members of a batch's answer for one publication that failed. */
export function failedResult(
  topic: Topic,
  messageId: string | null,
  { code, message, retryable, retryAfterMs }: OutgoingReply & { type: 'error' },
  status: number,
): object {
  return {
    topic,
    ...(messageId === null ? {} : { messageId }),
    status,
    code,
    detail: message,
    retryable,
    maybeDelivered: isMaybeDelivered(code),
    ...(retryAfterMs === null ? {} : { retryAfterMs }),
  };
}
