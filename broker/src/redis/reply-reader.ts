/** Reads replies of Redis (RESP2) from the bytes of a connection, in pieces as they arrive. */

/** Bulk strings are Buffers, simple strings are text. An error is a value: it may be part of an array. */
export type Reply = string | number | null | Buffer | RedisError | readonly Reply[];

/** An error that Redis returned. */
export class RedisError extends Error {
  override readonly name = 'RedisError';
}

/**
 * The bytes are not replies: the server is not a Redis, or replies were mixed up. The connection cannot be used any
 * more.
 */
export class RedisProtocolError extends Error {
  override readonly name = 'RedisProtocolError';
}

/** A message of a channel, within the bytes that were read. Valid until the handler returns. */
export interface ChannelMessage {
  readonly bytes: Buffer;
  readonly channelStart: number;
  readonly channelEnd: number;
  readonly start: number;
  readonly end: number;
}

interface ReplyHandler {
  onReply(reply: Reply): void;
  /** If this is absent, messages of channels are replies like any other. */
  onMessage?(message: ChannelMessage): void;
}

/**
 * Largest part, in bytes or elements: as much as Redis sends by default (proto-max-bulk-len). A larger one is not a
 * reply.
 */
const maxLength = 536_870_912;

/**
 * Shorter parts are copied in a loop, and most parts are shorter. To copy a part as a whole, a view of it must be
 * created first.
 */
const maxLoopBytes = 48;

/** Up to this length the memory of an array is allocated at once. */
const maxPreparedItems = 1_024;

/** An array that is not complete yet. */
interface Open {
  readonly items: Reply[];
  readonly length: number;
  filled: number;
}

/** How each message of a channel begins. */
const messageHead = Buffer.from('*3\r\n$8\r\nsmessage\r\n');

const [plus, minus, colon, dollar, star] = [0x2b, 0x2d, 0x3a, 0x24, 0x2a];
const carriageReturn = 0x0d;
const zero = 0x30;

const nothing = Buffer.alloc(0);

export class ReplyReader {
  #bytes: Buffer = nothing;
  #length = 0;
  #at = 0;
  /** The beginning of an incomplete part, while the rest is on its way. */
  #pieces: Buffer[] = [];
  #piecesLength = 0;
  /** The number of bytes that the incomplete part needs at least. */
  #needed = 0;
  /** The arrays around the next part, outermost first. */
  readonly #open: Open[] = [];
  #isEnded = false;
  /** One object for all messages. */
  readonly #message = { bytes: this.#bytes, channelStart: 0, channelEnd: 0, start: 0, end: 0 };

  constructor(private readonly handler: ReplyHandler) {}

  /** Ignores everything from now on, also what it has read already. */
  end(): void {
    this.#isEnded = true;
    this.#pieces = [];
  }

  /**
   * Reads the first `length` bytes of `bytes`. The caller may reuse `bytes` afterwards. Throws
   * {@link RedisProtocolError}. The handler may call {@link end} during this call.
   */
  read(bytes: Buffer, length = bytes.length): void {
    this.#bytes = bytes;
    this.#length = length;
    if (this.#piecesLength > 0) {
      this.#keep(0);
      if (this.#piecesLength < this.#needed) return;
      // Joined once for each part, not for each piece, however large the part is.
      this.#bytes = Buffer.concat(this.#pieces, this.#piecesLength);
      this.#length = this.#piecesLength;
      this.#pieces = [];
      this.#piecesLength = 0;
    }
    this.#at = 0;
    while (!this.#isEnded && this.#at < this.#length) {
      if (this.#readPart()) continue;
      this.#keep(this.#at);
      break;
    }
    // A large reply must not stay in memory.
    this.#bytes = nothing;
    this.#message.bytes = nothing;
  }

  #keep(from: number): void {
    this.#pieces.push(copyOf(this.#bytes, from, this.#length));
    this.#piecesLength += this.#length - from;
  }

  /** Returns false, and reads nothing, if the part is incomplete. */
  #readPart(): boolean {
    const bytes = this.#bytes;
    const start = this.#at;
    if (this.handler.onMessage !== undefined && this.#open.length === 0 && this.#mayBeMessage()) {
      if (this.#has(start, start + messageHead.length)) return this.#readMessage();
      // The next byte may show that it is another reply, which may be shorter.
      this.#needed = this.#length - start + 1;
      return false;
    }
    const end = this.#endOfLine(start);
    if (end === -1) return false;
    switch (bytes[start]) {
      case colon:
        this.#at = end + 2;
        this.#accept(this.#integer(start + 1, end));
        return true;
      case dollar: {
        const length = this.#lengthAt(start + 1, end);
        if (length === -1) {
          this.#at = end + 2;
          this.#accept(null);
          return true;
        }
        const from = end + 2;
        if (!this.#has(start, from + length + 2)) return false;
        this.#at = from + length + 2;
        this.#accept(copyOf(bytes, from, from + length));
        return true;
      }
      case star: {
        const length = this.#lengthAt(start + 1, end);
        this.#at = end + 2;
        if (length === -1) this.#accept(null);
        else if (length === 0) this.#accept([]);
        else this.#open.push({ items: length <= maxPreparedItems ? new Array<Reply>(length) : [], length, filled: 0 });
        return true;
      }
      case plus:
        this.#at = end + 2;
        this.#accept(bytes.toString('utf8', start + 1, end));
        return true;
      case minus:
        this.#at = end + 2;
        this.#accept(new RedisError(bytes.toString('utf8', start + 1, end)));
        return true;
      default:
        throw new RedisProtocolError(`Protocol error: a reply begins with byte ${bytes[start]}.`);
    }
  }

  /** Whether what has arrived is the beginning of a message of a channel. */
  #mayBeMessage(): boolean {
    const bytes = this.#bytes;
    const length = Math.min(messageHead.length, this.#length - this.#at);
    for (let index = 0; index < length; index++) if (bytes[this.#at + index] !== messageHead[index]) return false;
    return true;
  }

  #readMessage(): boolean {
    const start = this.#at;
    const message = this.#message;
    const channelLine = start + messageHead.length;
    const channelLineEnd = this.#endOfLine(channelLine);
    if (channelLineEnd === -1) return false;
    message.channelStart = channelLineEnd + 2;
    message.channelEnd = message.channelStart + this.#lengthAt(channelLine + 1, channelLineEnd);
    const messageLine = message.channelEnd + 2;
    const messageLineEnd = this.#endOfLine(messageLine);
    if (messageLineEnd === -1) return false;
    message.start = messageLineEnd + 2;
    message.end = message.start + this.#lengthAt(messageLine + 1, messageLineEnd);
    if (!this.#has(start, message.end + 2)) return false;
    message.bytes = this.#bytes;
    this.#at = message.end + 2;
    this.handler.onMessage?.(message);
    return true;
  }

  /** Whether everything up to `end` has arrived. If not, notes how much the part that begins at `start` needs. */
  #has(start: number, end: number): boolean {
    if (end <= this.#length) return true;
    this.#needed = end - start;
    return false;
  }

  /** The position of the line break that ends the line at `from`; -1 if it has not arrived. */
  #endOfLine(from: number): number {
    const bytes = this.#bytes;
    for (let at = from; at < this.#length - 1; at++) if (bytes[at] === carriageReturn) return at;
    this.#needed = Math.max(this.#length, from) - this.#at + 1;
    return -1;
  }

  /** A length of -1 means that there is no value. */
  #lengthAt(from: number, end: number): number {
    const length = this.#integer(from, end);
    if (length < -1 || length > maxLength) throw new RedisProtocolError(`Protocol error: a length is ${length}.`);
    return length;
  }

  #integer(from: number, end: number): number {
    const bytes = this.#bytes;
    const isNegative = bytes[from] === minus;
    let value = 0;
    for (let at = isNegative ? from + 1 : from; at < end; at++) {
      const digit = (bytes[at] as number) - zero;
      if (digit < 0 || digit > 9)
        throw new RedisProtocolError('Protocol error: a number has a character that is not a digit.');
      value = value * 10 + digit;
    }
    return isNegative ? -value : value;
  }

  #accept(part: Reply): void {
    let reply = part;
    for (;;) {
      const array = this.#open.at(-1);
      if (array === undefined) return this.handler.onReply(reply);
      array.items[array.filled++] = reply;
      if (array.filled < array.length) return;
      this.#open.pop();
      reply = array.items;
    }
  }
}

function copyOf(bytes: Buffer, from: number, to: number): Buffer {
  const copy = Buffer.allocUnsafe(to - from);
  if (copy.length < maxLoopBytes) for (let at = from; at < to; at++) copy[at - from] = bytes[at] as number;
  else bytes.copy(copy, 0, from, to);
  return copy;
}
