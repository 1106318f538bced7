/** The command line of `npm run fuzz`. */
import {
  choices,
  describeNames,
  describeOptions,
  integer,
  parseOptions,
  text,
  toggle,
  UsageError,
} from '@fanfare/kit/options';

export type Request =
  | { readonly name: 'replay'; readonly target: string; readonly file: string }
  | {
      readonly name: 'fuzz';
      readonly targets: readonly string[];
      readonly seconds: number;
      readonly seed: number;
      readonly isKept: boolean;
      readonly isDetailed: boolean;
    };

type Abouts = Readonly<Record<string, { readonly about: string }>>;

export function parseCommandLine(args: readonly string[], targets: Abouts): Request {
  const options = {
    target: choices('targets, separated by commas', Object.keys(targets), null),
    seconds: integer('time for each target', 60, 1, 86_400, 'seconds'),
    seed: integer('seed of the random numbers; without it, a new one that is printed', null, 0, 2 ** 32 - 1),
    keep: toggle('write the inputs that reached new code to tools/fuzz/corpus, as small as possible'),
    lines: toggle('list the lines that no input reached'),
    replay: text('run the target once on the bytes of a file, and show what fails', '<file>', null),
  };
  const help =
    (): string => `Searches for input that breaks a parser: mutates a corpus, and keeps inputs that reach new code.

usage: npm run fuzz -- --target <names> [options]

targets:
${describeNames(Object.entries(targets).map(([name, { about }]) => [name, about]))}

options:
${describeOptions(options)}
`;
  const { target: names, seconds, seed, keep, lines, replay } = parseOptions(args, options, help).values;
  if (names === null) throw new UsageError(`Name the targets with --target: ${options.target.range}.`);
  if (replay !== null) {
    const [target, ...others] = names;
    if (target === undefined || others.length > 0) throw new UsageError('--replay needs exactly one --target.');
    return { name: 'replay', target, file: replay };
  }
  return {
    name: 'fuzz',
    targets: names,
    seconds,
    seed: seed ?? Date.now() % 2 ** 32,
    isKept: keep,
    isDetailed: lines,
  };
}
