/**
 * `npm run demo` publishes real flights to one node. It checks that a MessagePack client and a JSON client at another
 * node receive every row once and in order. The exit code is 0 if they do.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { createClient } from '@fanfare/client';
import { createClient as createJsonClient } from '@fanfare/client/json';
import { type NodeProcess, type RedisProcess, startNode, startRedis } from '@fanfare/local-cluster';

/** A departure in the United States in early 2001, as the Bureau of Transportation Statistics recorded it. */
interface Flight {
  readonly date: string;
  /** Minutes; negative is early. */
  readonly delay: number;
  /** Miles. */
  readonly distance: number;
  readonly origin: string;
  readonly destination: string;
}

/** Each flight goes to the topic of the airport it leaves from. `row` is its place in the data set. */
interface Topics {
  [topic: `flights.${string}`]: { readonly row: number; readonly flight: Flight };
}

/** Publications in flight at a time: enough to keep the broker busy, few enough to watch it live. */
const publicationsAtATime = 200;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<boolean> {
  const flights = await readFlights();
  await using redis = await startRedisIfThereIsOne();
  const env = redis === null ? {} : { redisUrl: redis.url };
  await using entry = await startNode(env);
  await using second = redis === null ? null : await startNode(env);
  const exit: NodeProcess = second ?? entry;
  print(
    redis === null
      ? 'No Redis found (install redis-server for two nodes): using one node, in memory.'
      : `Two nodes: publishing at ${entry.url}, subscribing at ${exit.url}, Redis on port ${redis.port} between them.`,
  );

  await using publisher = createClient<Topics>(entry.url);
  await using msgpackClient = createClient<Topics>(exit.url);
  await using jsonClient = createJsonClient<Topics>(exit.url);
  const topics = new Set(flights.map((flight) => topicOf(flight)));
  const readers = [new Reader('MessagePack'), new Reader('JSON')] as const;
  const subscriptions = [...topics].flatMap((topic) => [
    msgpackClient.subscribe(topic, ({ data }) => readers[0].take(topic, data)),
    jsonClient.subscribe(topic, ({ data }) => readers[1].take(topic, data)),
  ]);
  await Promise.all(subscriptions.map((subscription) => subscription.ready));
  print(
    `${flights.length} flights from ${topics.size} airports, a topic for each; ${subscriptions.length} subscriptions.\n`,
  );

  let published = 0;
  const startedAt = performance.now();
  const progress = setInterval(() => showProgress(published, flights, readers), 100);
  for (let row = 0; row < flights.length; row += publicationsAtATime) {
    const batch = flights.slice(row, row + publicationsAtATime);
    await Promise.all(
      batch.map(async (flight, index) => {
        published++;
        await publisher.publish(topicOf(flight), { row: row + index, flight });
      }),
    );
  }
  await Promise.all(readers.map((reader) => reader.waitFor(flights.length)));
  // A duplicate may arrive last, so wait until nothing more can arrive.
  await Promise.all([msgpackClient.drain(), jsonClient.drain()]);
  clearInterval(progress);
  const seconds = (performance.now() - startedAt) / 1000;
  showProgress(published, flights, readers);

  print(`\nPublished ${published} and delivered ${2 * published} in ${seconds.toFixed(1)} s. The check:`);
  const verdicts = readers.map((reader) => reader.verdict(flights));
  for (const { sentence } of verdicts) print(sentence);
  return verdicts.every(({ isGood }) => isGood);
}

/** Everything that one subscriber has received, by topic, in order of arrival. */
class Reader {
  readonly #name: string;
  readonly #rows = new Map<string, number[]>();
  readonly #received = new Map<number, Flight>();
  #count = 0;
  #wake: () => void = () => undefined;

  constructor(name: string) {
    this.#name = name;
  }

  get count(): number {
    return this.#count;
  }

  take(topic: string, { row, flight }: { readonly row: number; readonly flight: Flight }): void {
    const rows = this.#rows.get(topic) ?? [];
    this.#rows.set(topic, rows);
    rows.push(row);
    this.#received.set(row, flight);
    this.#count++;
    this.#wake();
  }

  /** Resolves after `count` publications, or after five seconds without one. */
  async waitFor(count: number): Promise<void> {
    let before = -1;
    while (this.#count < count && this.#count !== before) {
      before = this.#count;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 5_000);
        this.#wake = () => {
          if (this.#count < count) return;
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Compares the received rows with the data set. */
  verdict(flights: readonly Flight[]): { readonly isGood: boolean; readonly sentence: string } {
    const same = flights.filter(
      (flight, row) => JSON.stringify(flight) === JSON.stringify(this.#received.get(row)),
    ).length;
    const lost = flights.length - this.#received.size;
    const doubled = this.#count - this.#received.size;
    const altered = this.#received.size - same;
    const misplaced = [...this.#rows.values()].flatMap((rows) =>
      rows.filter((row, index) => row < (rows[index - 1] ?? 0)),
    ).length;
    const isGood = lost + doubled + altered + misplaced === 0;
    const sentence = isGood
      ? `  ${this.#name}: all ${flights.length} rows arrived, each once, in order, unaltered.`
      : `  ${this.#name}: ${lost} lost, ${doubled} more than once, ${misplaced} out of order, ${altered} altered. THIS IS A BUG.`;
    return { isGood, sentence };
  }
}

function topicOf(flight: Flight): `flights.${string}` {
  return `flights.${flight.origin}`;
}

function showProgress(published: number, flights: readonly Flight[], [msgpack, json]: readonly [Reader, Reader]): void {
  const flight = flights[published - 1];
  if (flight === undefined) return;
  const late = flight.delay > 0 ? `${flight.delay} min late` : 'on time';
  print(
    `${String(published).padStart(6)} published  ${String(msgpack.count).padStart(6)} MessagePack  ${String(json.count).padStart(6)} JSON    ${flight.date}  ${flight.origin} to ${flight.destination}, ${late}`,
  );
}

async function readFlights(): Promise<readonly Flight[]> {
  const library = import.meta.resolve('vega-datasets');
  return JSON.parse(await readFile(fileURLToPath(new URL('../data/flights-10k.json', library)), 'utf8'));
}

async function startRedisIfThereIsOne(): Promise<RedisProcess | null> {
  try {
    // A demonstration does not install anything on anyone's machine.
    return await startRedis({ mayInstall: false });
  } catch {
    return null;
  }
}

// Ctrl+C: 'exit' handlers stop the started processes.
process.on('SIGINT', () => process.exit(130));
process.exitCode = (await main()) ? 0 : 1;
