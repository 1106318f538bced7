/**
 * A short `npm run fuzz`: the corpus of each target, and some mutations that are always the same. Also tests that the
 * fuzzer finds planted bugs.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseCommandLine } from '../src/command-line.js';
import { readCorpus } from '../src/corpus.js';
import { type Found, Fuzzer, stretched, wordsOf } from '../src/fuzzer.js';
import { runOnce } from '../src/limits.js';
import { mutate } from '../src/mutate.js';
import { Random } from '../src/random.js';
import { shrink } from '../src/shrink.js';
import { holdSentence, type Target } from '../src/target.js';
import { targets } from '../src/targets/index.js';

const mutations = 1_500;

describe('the target', () => {
  it.each(Object.entries(targets))('%s passes its corpus and mutations of it', async (name, target) => {
    const inputs = [...target.seeds, ...readCorpus(name)];
    const random = new Random(5);
    const words = wordsOf(target);
    for (const input of inputs) await runOnce(target, input);
    for (const input of stretched(target)) await runOnce(target, input);
    for (let run = 0; run < mutations; run++) {
      const input = mutate(random.pick(inputs), inputs, words, target.maxBytes, random);
      try {
        await runOnce(target, input);
      } catch (error) {
        throw new Error(`${(error as Error).message} The input, in base64: ${Buffer.from(input).toString('base64')}`, {
          cause: error,
        });
      }
    }
  });
});

describe('the fuzzer', () => {
  it('creates the same inputs from the same seed, within the length limit', () => {
    const make = (): Uint8Array[] => {
      const random = new Random(1);
      const input = new TextEncoder().encode('{"type":"ping","id":1}');
      return Array.from({ length: 500 }, () => mutate(input, [input], [Uint8Array.of(1)], 40, random));
    };
    expect(make()).toEqual(make());
    expect(make().every(({ length }) => length <= 40)).toBe(true);
    expect(new Set(make().map((bytes) => bytes.join())).size).toBeGreaterThan(300);
  });

  it('shortens an input that fails', async () => {
    const short = await shrink(new TextEncoder().encode('aaaaXaaaaaYa'), async (bytes) => {
      const text = new TextDecoder().decode(bytes);
      return text.includes('X') && text.includes('Y');
    });
    expect(new TextDecoder().decode(short)).toBe('XY');
  });

  it('accepts only errors that are one sentence', () => {
    expect(() => holdSentence('A port is missing.')).not.toThrow();
    for (const wrong of ['a\nb.', 'no end', `${'x'.repeat(2_000)}.`]) expect(() => holdSentence(wrong)).toThrow();
  });

  it.each([
    [['--target', 'nothing'], /^--target does not accept "nothing"\. Valid: node-msgpack, /],
    [[], /^Name the targets with --target: node-msgpack, .*, all\.$/],
    [['--target', 'topic', '--seconds', 'x'], /^--seconds must be a whole number from 1 to 86400 seconds, not "x"\.$/],
    [['--target', 'topic', '--seed', '-1'], /^--seed must be a whole number from 0 to 4294967295, not "-1"\.$/],
    [['--target', 'topic,config', '--replay', 'x'], /^--replay needs exactly one --target\.$/],
    [['--targets', 'topic'], /^Unknown option --targets\. Did you mean --target\?$/],
  ])('reports the mistake in %j in one sentence', (args, sentence) => {
    expect(() => parseCommandLine(args, targets)).toThrow(sentence);
  });

  it('finds code that needs several right bytes in a row, and reports it once, with a short input', async () => {
    let ran = new Set<number>();
    const secret = new TextEncoder().encode('Fan!');
    const target: Target = {
      ...{ about: '', seeds: [], words: [], files: [], maxBytes: 20 },
      run(input) {
        const right = secret.findIndex((byte, index) => input[index] !== byte);
        ran.add(right);
        if (right === -1) throw new Error('found');
      },
    };
    const take = () => {
      const blocks = ran;
      ran = new Set();
      return { blocks, steps: 1 };
    };
    const found: Found[] = [];
    const fuzzer = new Fuzzer({
      target,
      seed: 1,
      coverage: { take },
      onRun: () => {},
      onFound: (each) => found.push(each),
    });
    await fuzzer.begin([]);
    while (found.length === 0 && fuzzer.runs < 500_000) await fuzzer.step();
    for (let more = 0; more < 20; more++) await fuzzer.step();
    expect(found.map(({ input }) => new TextDecoder().decode(input))).toEqual(['Fan!']);
    expect((await fuzzer.minimize()).map((input) => new TextDecoder().decode(input))).toContain('Fan!');
  });

  it('reports how much of the code it reached', () => {
    const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
    const words = ['--conditions=fuzz', main, '--target', 'topic', '--seconds', '1', '--seed', '1'];
    const { status, stdout } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    expect(stdout).toMatch(
      /^topic: \d+ runs, \d+ a second, seed 1; \d+ blocks of code \(\d+ by the corpus\), [1-9]\d* of /,
    );
    expect(status).toBe(0);
  });
});
