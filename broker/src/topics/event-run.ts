/**
 * A run of publications as the events of a stream (docs/http.md). Encoded once for all event streams of a topic: only
 * the id of an event can differ between streams.
 */
import {
  emptyRun,
  JsonWriter,
  type KeyedPayload,
  keyMembers,
  type Payload,
  type Position,
  positionText,
  Reader,
  type Run,
  readItem,
  type Topic,
  Writer,
  writeAsJson,
} from '@fanfare/protocol';

/** What the data of an event is: the data of the publication, or an object with its topic and position too. */
export type EventForm = 'bare' | 'envelope';

/** The id of the events of one stream: `before`, the position of the publication, `after`. */
export interface OwnIds {
  readonly before: string;
  readonly after: string;
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/**
 * Its bytes are valid until it is used for the next run. It is one object with a few buffers that grow, so that a run
 * leaves no garbage.
 */
export class EventRun {
  topic: Topic = '' as Topic;
  /** The position of the first publication; null if the topic keeps no history. */
  first: Position | null = null;
  /** The position of the last publication. One object for all streams. */
  last: Position | null = null;
  run: Run = emptyRun;
  readonly #events: Readonly<Record<EventForm, Events>> = { bare: new Events(), envelope: new Events() };
  readonly #own = new Writer(4096);

  /** Begins with another run. Nothing is encoded until it is needed. */
  begin(topic: Topic, position: Position | null, run: Run): this {
    this.topic = topic;
    this.first = position;
    this.run = run;
    this.last = position === null ? null : { epoch: position.epoch, offset: position.offset + run.count - 1 };
    this.#events.bare.clear();
    this.#events.envelope.clear();
    return this;
  }

  /** The events for streams of this topic alone, without a credential in the id. */
  shared(form: EventForm): Uint8Array {
    const events = this.#events[form];
    if (!events.isShared) {
      this.#encode(form);
      this.#writeWithIds(events, events.shared, '', '');
      events.isShared = true;
    }
    return events.shared.view();
  }

  /** The events with the ids of one stream. The bytes are valid until the next call. */
  own(form: EventForm, { before, after }: OwnIds): Uint8Array {
    this.#encode(form);
    this.#own.clear();
    this.#writeWithIds(this.#events[form], this.#own, before, after);
    return this.#own.view();
  }

  #writeWithIds({ items, ends }: Events, to: Writer, before: string, after: string): void {
    const bytes = items.view();
    const { first } = this;
    const head = `id: ${before}${first === null ? positionText(null) : `${first.epoch}-`}`;
    let start = 0;
    for (const [index, end] of ends.entries()) {
      to.copy(bytes, start, end);
      to.ascii(first === null ? `${head}${after}\n\n` : `${head}${first.offset + index}${after}\n\n`);
      start = end;
    }
  }

  /** Writes the events without their ids. */
  #encode(form: EventForm): void {
    const { items, ends } = this.#events[form];
    if (ends.length > 0) return;
    const reader = new Reader(this.run.bytes);
    for (let index = 0; index < this.run.count; index++) {
      writeEvent(items, form, this.topic, this.first, index, readItem(reader));
      ends.push(items.length);
    }
  }
}

/** Events in one form. */
class Events {
  readonly items = new JsonWriter(4096);
  /** Where each event ends in `items`. */
  readonly ends: number[] = [];
  readonly shared = new Writer(4096);
  isShared = false;

  clear(): void {
    this.items.clear();
    this.ends.length = 0;
    this.shared.clear();
    this.isShared = false;
  }
}

function writeEvent(
  writer: JsonWriter,
  form: EventForm,
  topic: Topic,
  first: Position | null,
  index: number,
  payload: KeyedPayload,
): void {
  const before = writer.length;
  const key = payload.key === null || form === 'bare' ? '' : keyMembers(payload.key, payload.remove);
  writer.ascii('data: ');
  if (form === 'envelope') {
    writer.ascii(envelopeHead(topic, first, index));
    writer.ascii(',"data":');
  }
  if (payload.encoding === 'json') writeLines(writer, payload);
  else if (!writeAsJson(writer, payload)) {
    writer.length = before;
    // A page that knows nothing of envelopes must not take the object for the data of a publication.
    const name = form === 'bare' ? 'event: undecodable\n' : '';
    const error = form === 'bare' ? '' : ',"error":"undecodable"';
    writer.ascii(`${name}data: ${envelopeHead(topic, first, index)}${error}${key}}\n`);
    return;
  }
  writer.ascii(form === 'envelope' ? `${key}}\n` : '\n');
}

/** The beginning of an object with the topic and the position. */
function envelopeHead(topic: Topic, first: Position | null, index: number): string {
  if (first === null) return `{"topic":"${topic}"`;
  return `{"topic":"${topic}","epoch":"${first.epoch}","offset":${first.offset + index}`;
}

/**
 * JSON text has line breaks only between its tokens. A line break would end the field, so each line becomes a field of
 * its own, and the client joins them.
 */
function writeLines(writer: JsonWriter, { bytes, start, end }: Payload): void {
  let at = start;
  for (let index = start; index < end; index++) {
    const byte = bytes[index] as number;
    if (byte !== lineFeed && byte !== carriageReturn) continue;
    writer.copy(bytes, at, index);
    writer.ascii('\ndata: ');
    if (byte === carriageReturn && bytes[index + 1] === lineFeed && index + 1 < end) index++;
    at = index + 1;
  }
  writer.copy(bytes, at, end);
}
