/** A topic feed against every order in which messages and answers can arrive, go missing, or arrive twice. */
import { type Position, ReplyError, type Run, type Topic } from '@fanfare/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeEntry, encodeEntry, readEntry, type StreamEntry } from '../src/relay/stream-entry.js';
import { CacheBudget } from '../src/relay/topic-cache.js';
import { type FeedContext, type HistorySlice, TopicFeed } from '../src/relay/topic-feed.js';
import { topic } from './relay.contract.js';

/** A Redis in which the test controls when a read is answered, and which messages arrive. */
class ScriptedStream {
  epoch = 1;
  head = 0;
  entries: StreamEntry[] = [];
  /** For each epoch, the position of the topic when it began. */
  readonly starts = new Map<string, number>([['e1', 0]]);
  isTrimmed = false;
  #reads: {
    readonly epoch: string;
    readonly from: number;
    resolve(stretch: HistorySlice): void;
    reject(error: Error): void;
  }[] = [];

  get epochName(): string {
    return `e${this.epoch}`;
  }

  get waiting(): number {
    return this.#reads.length;
  }

  /** Returns the message that Redis sends for this run. */
  publish(count: number): StreamEntry {
    const bytes = Buffer.alloc(count * 2);
    for (let index = 0; index < count; index++) bytes.set([0xa1, 0x30 + ((this.head + index) % 10)], index * 2);
    const at = { epoch: this.epochName, offset: this.head + 1 };
    const entry = decodeEntry(at, encodeEntry({ count, bytes, hasKeys: false }, new Map()));
    if (entry === null) throw new Error('Not an entry.');
    this.entries.push(entry);
    this.head += count;
    return entry;
  }

  /** Removes all but the newest entries. */
  trim(keep: number): void {
    this.isTrimmed = true;
    this.entries = keep === 0 ? [] : this.entries.slice(-keep);
  }

  /** Begins another history. */
  begin(): void {
    this.epoch++;
    this.head = 0;
    this.entries = [];
    this.starts.set(this.epochName, 0);
  }

  /** Assigns another epoch to the history, which keeps its entries. */
  restart(): void {
    this.epoch++;
    this.starts.set(this.epochName, this.head);
  }

  renew = async (_topic: Topic, epoch: string): Promise<HistorySlice> => {
    if (epoch === this.epochName) this.restart();
    return this.stretch(epoch, 1, 2);
  };

  readBack = async (_topic: Topic, _epoch: string, last: number): Promise<HistorySlice> => ({
    position: { epoch: this.epochName, offset: this.head },
    entries: this.entries.filter(({ first }) => first <= last).slice(-2),
  });

  /** The answer of the script `read`. */
  stretch(epoch: string, from: number, maxEntries: number): HistorySlice {
    const isSame = epoch === this.epochName;
    const entries =
      epoch === ''
        ? []
        : this.entries.filter((entry) => (isSame ? entry.last >= from : entry.epoch === this.epochName));
    return {
      position: { epoch: this.epochName, offset: this.head },
      entries: entries.slice(0, isSame ? maxEntries : 1),
    };
  }

  read = (_topic: Topic, epoch: string, from: number): Promise<HistorySlice> =>
    new Promise((resolve, reject) => this.#reads.push({ epoch, from, resolve, reject }));

  async answer(maxEntries = 2): Promise<void> {
    const read = this.#reads.shift();
    read?.resolve(this.stretch(read.epoch, read.from, maxEntries));
    await settle();
  }

  async fail(): Promise<void> {
    this.#reads.shift()?.reject(new ReplyError('unavailable', 'no'));
    await settle();
  }

  async answerAll(): Promise<void> {
    while (this.#reads.length > 0) await this.answer();
  }
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** Everything that subscribers receive: epochs and offsets, gaps and resets. */
type Seen =
  | { readonly epoch: string; readonly offset: number }
  | { readonly notice: 'gap' | 'reset'; readonly at: Position };

/** `contents`: the bytes of each delivered run. */
function newFeed(
  stream: ScriptedStream,
  cacheBytes = 1_000_000,
): { feed: TopicFeed; seen: Seen[]; contents: string[] } {
  const seen: Seen[] = [];
  const contents: string[] = [];
  const context: FeedContext = {
    delivery: {
      deliver: (_topic: Topic, position: Position | null, run: Run) => {
        contents.push(Buffer.from(run.bytes).toString('latin1'));
        for (let index = 0; index < run.count; index++) {
          seen.push({ epoch: position?.epoch ?? '', offset: (position?.offset ?? 0) + index });
        }
        return true;
      },
      notifyGap: (_topic, position) => void seen.push({ notice: 'gap', at: position as Position }),
      notifyReset: (_topic, position) => void seen.push({ notice: 'reset', at: position }),
    },
    counters: { publicationsRepeated: 0, repairs: 0, publicationsRepaired: 0, gapsNotified: 0, resetsNotified: 0 },
    budget: new CacheBudget(cacheBytes),
    read: stream.read,
    readBack: stream.readBack,
    renew: stream.renew,
    onDoubt: () => undefined,
    onRepaired: () => undefined,
  };
  return { feed: new TopicFeed(topic('t'), 100, context), seen, contents };
}

/**
 * Checks that each publication arrives once, in order, and each jump of offsets or epochs has its notice. Returns the
 * last position.
 */
function checkSeen(seen: readonly Seen[], start: Position): Position {
  let at = start;
  for (const each of seen) {
    if ('notice' in each) {
      if (each.notice === 'gap') {
        expect(each.at.epoch).toBe(at.epoch);
        expect(each.at.offset).toBeGreaterThan(at.offset);
      }
      at = each.at;
    } else {
      expect(each).toEqual({ epoch: at.epoch, offset: at.offset + 1 });
      at = each;
    }
  }
  return at;
}

type Rare = 'fail' | 'beacon' | 'doubt' | 'trim' | 'begin' | 'restart';

/** Random steps: publications whose message arrives never, once or twice; answers of Redis; and rare events. */
function stepsWith(...rare: readonly Rare[]) {
  const counts = { count: fc.integer({ min: 1, max: 3 }), copies: fc.integer({ min: 0, max: 2 }) };
  return fc.array(
    fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant('publish' as const), ...counts }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('answer' as const) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constantFrom<Rare[]>('fail', 'beacon', 'doubt', ...rare) }) },
    ),
    { maxLength: 80 },
  );
}

type Steps = ReturnType<typeof stepsWith> extends fc.Arbitrary<infer Taken> ? Taken : never;

/**
 * Takes the steps, then lets Redis answer everything and a beacon arrive. Checks the received messages against the
 * position of the topic.
 */
async function play(steps: Steps): Promise<readonly Seen[]> {
  const stream = new ScriptedStream();
  stream.publish(3);
  const { feed, seen } = newFeed(stream);
  void feed.catchUp();
  await stream.answerAll();
  const start = feed.position;
  for (const step of steps) {
    switch (step.do) {
      case 'publish': {
        const entry = stream.publish(step.count);
        for (let copy = 0; copy < step.copies; copy++) feed.receive(entry);
        break;
      }
      case 'answer':
        await stream.answer();
        break;
      case 'fail':
        await stream.fail();
        break;
      case 'beacon':
        feed.onBeacon({ epoch: stream.epochName, offset: stream.head });
        break;
      case 'trim':
        stream.trim(1);
        break;
      case 'begin':
        stream.begin();
        break;
      case 'restart':
        stream.restart();
        break;
      default:
        feed.suspect('tail');
        void feed.catchUp();
    }
  }
  await stream.answerAll();
  feed.onBeacon({ epoch: stream.epochName, offset: stream.head });
  await stream.answerAll();
  expect(checkSeen(seen, start)).toEqual({ epoch: stream.epochName, offset: stream.head });
  for (const each of seen) {
    if (!('notice' in each) || each.notice === 'gap') continue;
    const began = stream.starts.get(each.at.epoch) ?? 0;
    if (stream.isTrimmed) expect(each.at.offset).toBeGreaterThanOrEqual(began);
    else expect(each.at.offset).toBe(began);
  }
  return seen;
}

describe('a topic feed', () => {
  it('delivers everything once and in order, whatever messages are lost or repeated, and however late answers arrive', async () => {
    await fc.assert(
      fc.asyncProperty(stepsWith(), async (steps) => {
        expect((await play(steps)).some((each) => 'notice' in each)).toBe(false);
      }),
      { numRuns: 400 },
    );
  });

  it('delivers all that was published under another epoch, whenever it learns of that epoch', async () => {
    await fc.assert(
      fc.asyncProperty(stepsWith('begin', 'restart'), async (steps) => {
        await play(steps);
      }),
      { numRuns: 400 },
    );
  });

  it('notifies of every jump if the history is trimmed or begins again, and reaches the position of the topic in the end', async () => {
    await fc.assert(
      fc.asyncProperty(stepsWith('trim', 'begin', 'restart'), async (steps) => {
        await play(steps);
      }),
      { numRuns: 400 },
    );
  });

  it('begins a new history if it cannot prove that Redis still has the known one', async () => {
    const stream = new ScriptedStream();
    const { feed, seen } = newFeed(stream);
    void feed.catchUp();
    await stream.answerAll();
    for (let number = 0; number < 3; number++) feed.receive(stream.publish(1));
    // Redis has lost the last publication. Another publisher has added two, the first at the lost offset.
    stream.entries.pop();
    stream.head--;
    const at = { epoch: 'e1', offset: 3 };
    const other = decodeEntry(
      at,
      encodeEntry({ count: 1, bytes: Buffer.from([0xa1, 0x78]), hasKeys: false }, new Map()),
    ) as StreamEntry;
    stream.entries.push(other);
    stream.head++;
    stream.publish(1);
    feed.suspect('proof');
    void feed.catchUp();
    await stream.answerAll();
    expect(seen.at(-1)).toEqual({ notice: 'reset', at: { epoch: 'e2', offset: 4 } });
    feed.receive(stream.publish(1));
    expect(seen.at(-1)).toEqual({ epoch: 'e2', offset: 5 });
    // If the history is the same, the subscribers get no notice.
    const before = seen.length;
    feed.suspect('proof');
    void feed.catchUp();
    await stream.answerAll();
    expect(seen.length).toBe(before);
  });

  it('delivers what it held back unchanged, although the memory that it was read into is used again', async () => {
    const stream = new ScriptedStream();
    const { feed, seen, contents } = newFeed(stream);
    void feed.catchUp();
    await stream.answerAll();
    const receive = ({ epoch, first, bytes }: StreamEntry): void => {
      const memory = Buffer.from(bytes);
      feed.receive(readEntry(epoch, first, memory));
      memory.fill(0);
    };
    receive(stream.publish(1));
    stream.publish(1);
    receive(stream.publish(1));
    stream.trim(0);
    await stream.answerAll();
    expect(seen).toEqual([
      { epoch: 'e1', offset: 1 },
      { notice: 'gap', at: { epoch: 'e1', offset: 2 } },
      { epoch: 'e1', offset: 3 },
    ]);
    expect(contents).toEqual(['\xa10', '\xa12']);
    // So is what it keeps for subscribers that return.
    expect(feed.cache.entries.map(({ run }) => Buffer.from(run.bytes).toString('latin1'))).toEqual(['\xa12']);
  });

  it('delivers the rest of an entry that it has received in part, even if it may keep nothing in memory', async () => {
    const stream = new ScriptedStream();
    const { feed, seen, contents } = newFeed(stream, 0);
    stream.head = 2;
    void feed.catchUp();
    await stream.answerAll();
    stream.head = 0;
    stream.publish(3);
    feed.onBeacon({ epoch: 'e1', offset: 3 });
    await stream.answerAll();
    expect(seen).toEqual([{ epoch: 'e1', offset: 3 }]);
    expect(contents).toEqual(['\xa12']);
  });

  it('delivers nothing after it was released, even if it was reading', async () => {
    const stream = new ScriptedStream();
    const { feed, seen } = newFeed(stream);
    void feed.catchUp();
    await stream.answerAll();
    stream.publish(1);
    void feed.catchUp();
    feed.forget();
    await stream.answerAll();
    expect(seen).toEqual([]);
  });
});
