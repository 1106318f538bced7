/** Runs a target on mutated inputs, and keeps inputs that reach new code. */
import type { Coverage } from './coverage.js';
import { maxSteps, runOnce } from './limits.js';
import { mutate } from './mutate.js';
import { Random } from './random.js';
import { shrink } from './shrink.js';
import { Finding, type Target } from './target.js';

/**
 * Reading coverage takes as long as several runs. So it is read once for a batch, and for each input only if the batch
 * reached new code.
 */
const batch = 64;

export interface Found {
  readonly input: Uint8Array;
  readonly error: Error;
}

interface FuzzerOptions {
  readonly target: Target;
  readonly seed: number;
  readonly coverage: Pick<Coverage, 'take'>;
  /** Called before each run. */
  onRun(input: Uint8Array): void;
  /** Called with the first input of each kind of finding, shortened. */
  onFound(found: Found): void;
}

export class Fuzzer {
  runs = 0;
  readonly #random: Random;
  readonly #words: readonly Uint8Array[];
  readonly #seen = new Set<number>();
  readonly #kinds = new Set<string>();
  #corpus: Uint8Array[] = [];

  constructor(private readonly options: FuzzerOptions) {
    this.#random = new Random(options.seed);
    this.#words = wordsOf(options.target);
  }

  get corpus(): readonly Uint8Array[] {
    return this.#corpus;
  }

  get blocks(): number {
    return this.#seen.size;
  }

  /** Starts with these inputs, without those that reach nothing new. */
  async begin(inputs: readonly Uint8Array[]): Promise<void> {
    this.options.coverage.take(false);
    for (const input of inputs) await this.#look(input);
    if (this.#corpus.length === 0) this.#corpus.push(new Uint8Array(0));
  }

  /** A batch of new inputs. */
  async step(): Promise<void> {
    const { target, coverage } = this.options;
    const inputs: Uint8Array[] = [];
    let allowedSteps = maxSteps(target, 0);
    for (let index = 0; index < batch; index++) {
      const parent = this.#corpus[this.#random.next(this.#corpus.length)] as Uint8Array;
      const input = mutate(parent, this.#corpus, this.#words, target.maxBytes, this.#random);
      inputs.push(input);
      allowedSteps += maxSteps(target, input.length) - maxSteps(target, 0);
      await this.#run(input);
    }
    const { blocks, steps } = coverage.take();
    if (steps <= allowedSteps && isSubset(blocks, this.#seen)) return;
    for (const input of inputs) await this.#look(input);
    // Coverage that does not appear again depends on earlier runs. Mark it as seen, so that nothing searches for it
    // again.
    for (const block of blocks) this.#seen.add(block);
  }

  /** The shortest inputs that together reach all the code that was reached, each shortened. */
  async minimize(): Promise<readonly Uint8Array[]> {
    const { coverage } = this.options;
    const sorted = this.#corpus.toSorted((a, b) => a.length - b.length);
    const reached = new Set<number>();
    const kept: Uint8Array[] = [];
    for (const input of sorted) {
      const added = [...(await this.#blocksOf(input))].filter((block) => !reached.has(block));
      if (added.length === 0) continue;
      const short = await shrink(
        input,
        async (shorter) => {
          const blocks = await this.#blocksOf(shorter);
          return added.every((block) => blocks.has(block));
        },
        200,
      );
      for (const block of await this.#blocksOf(short)) reached.add(block);
      kept.push(short);
    }
    coverage.take(false);
    return kept;
  }

  async #blocksOf(input: Uint8Array): Promise<ReadonlySet<number>> {
    this.options.coverage.take(false);
    await this.#run(input);
    return this.options.coverage.take().blocks;
  }

  /** Runs one input alone, and keeps it if it reaches new code. */
  async #look(input: Uint8Array): Promise<void> {
    const { target, coverage } = this.options;
    coverage.take(false);
    await this.#run(input);
    const { blocks, steps } = coverage.take();
    if (steps > maxSteps(target, input.length)) {
      await this.#found(input, new Finding(`An input of ${input.length} bytes needed ${steps} steps.`));
    }
    const before = this.#seen.size;
    for (const block of blocks) this.#seen.add(block);
    if (this.#seen.size > before) this.#corpus.push(input);
  }

  async #run(input: Uint8Array): Promise<void> {
    this.runs++;
    const error = await this.#errorOf(input);
    if (error !== null) await this.#found(input, error);
  }

  async #errorOf(input: Uint8Array): Promise<Error | null> {
    this.options.onRun(input);
    try {
      await runOnce(this.options.target, input);
      return null;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  async #found(input: Uint8Array, error: Error): Promise<void> {
    const kind = kindOf(error);
    if (this.#kinds.has(kind)) return;
    this.#kinds.add(kind);
    const short = await shrink(input, async (shorter) => {
      const other = await this.#errorOf(shorter);
      return other !== null && kindOf(other) === kind;
    });
    this.options.onFound({ input: short, error: (await this.#errorOf(short)) ?? error });
  }
}

/** Every seed and word, repeated up to the maximum length: this shows costs that grow faster than the input. */
export function* stretched(target: Target): Iterable<Uint8Array> {
  for (const piece of [...target.seeds, ...wordsOf(target)]) {
    if (piece.length === 0) continue;
    yield Uint8Array.from({ length: target.maxBytes }, (_, index) => piece[index % piece.length] as number);
  }
}

/** A target's words as bytes. */
export function wordsOf({ words }: Target): Uint8Array[] {
  return words.map((word) => (typeof word === 'string' ? new TextEncoder().encode(word) : word));
}

/** The error without the parts that come from the input. */
function kindOf({ name, message, stack }: Error): string {
  const from = /\n\s+at .*/.exec(stack ?? '')?.[0] ?? '';
  return `${name} ${message.slice(0, 40).replace(/\d+|".*/g, '')}${name === 'Finding' ? '' : from}`;
}

function isSubset(some: ReadonlySet<number>, all: ReadonlySet<number>): boolean {
  for (const one of some) if (!all.has(one)) return false;
  return true;
}
