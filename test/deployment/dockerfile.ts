/** Parses a Dockerfile into stages and instructions, and finds problems in it. */
import { Copy, DockerfileParser, From, type Instruction } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';

export interface Stage {
  /** As `COPY --from` refers to it; null for the last stage. */
  readonly name: string | null;
  readonly image: string;
  readonly instructions: readonly Instruction[];
}

export function stagesOf(text: string): Stage[] {
  const stages: { name: string | null; image: string; instructions: Instruction[] }[] = [];
  for (const instruction of DockerfileParser.parse(text).getInstructions()) {
    if (instruction instanceof From) {
      stages.push({ name: instruction.getBuildStage(), image: instruction.getImage() ?? '', instructions: [] });
    } else stages.at(-1)?.instructions.push(instruction);
  }
  return stages;
}

/** The exec form after the keyword, such as `["node", "main.js"]`; null if it is missing or in the shell form. */
export function execForm(stage: Stage, keyword: 'ENTRYPOINT' | 'CMD' | 'HEALTHCHECK'): string[] | null {
  const instruction = stage.instructions.findLast((each) => each.getKeyword() === keyword);
  if (instruction === undefined) return null;
  // The parser splits a health check into words.
  const text =
    keyword === 'HEALTHCHECK'
      ? (/\bCMD\s+(\[.*\])\s*$/s.exec(instruction.getRawArgumentsContent() ?? '')?.[1] ?? '')
      : (instruction.getRawArgumentsContent() ?? '');
  try {
    const words: unknown = JSON.parse(text);
    return Array.isArray(words) && words.every((word) => typeof word === 'string') ? words : null;
  } catch {
    return null;
  }
}

/** The variables that `ENV` sets. */
export function environmentOf(stage: Stage): Record<string, string> {
  const pairs = stage.instructions
    .filter((each) => each.getKeyword() === 'ENV')
    .flatMap((each) => each.getArguments().map((argument) => argument.getValue().split('=', 2)));
  return Object.fromEntries(pairs.map(([name = '', value = '']) => [name, value]));
}

/** Sources and target of a `COPY`, and the stage that it copies from; null for the context. */
export function copyOf(instruction: Instruction): { from: string | null; sources: string[]; target: string } {
  const words = instruction.getArguments().map((argument) => argument.getValue());
  const from = instruction instanceof Copy ? (instruction.getFromFlag()?.getValue() ?? null) : null;
  return { from, sources: words.slice(0, -1), target: words.at(-1) ?? '' };
}

interface Demands {
  /** Whether it is a server: with ports, a health check and a signal to stop. */
  readonly isServer: boolean;
}

const secretName = /SECRET|TOKEN|PASSWORD|PASSWD|_KEY\b|CREDENTIAL/i;

/** The problems, one sentence each; empty if there are none. */
export function problemsOf(text: string, { isServer }: Demands): string[] {
  const dockerfile = DockerfileParser.parse(text);
  const stages = stagesOf(text);
  const last = stages.at(-1);
  const problems = validate(text).map(({ message }) => String(message));
  if (last === undefined) return problems;
  const reportIf = (isWrong: boolean, sentence: string): void => {
    if (isWrong) problems.push(sentence);
  };
  const built = new Set(stages.map(({ name }) => name));
  for (const { image } of stages.filter((stage) => !built.has(stage.image))) {
    reportIf(!/:\d+\.\d+\.\d+-/.test(image) && !image.includes('@sha256:'), `${image} is not pinned to a version.`);
    reportIf(/alpine|musl/.test(image), `${image} has no glibc.`);
  }
  reportIf(stages.length < 2, 'The image has one stage, so it contains the build tools.');
  const keywords = dockerfile.getInstructions().map((each) => each.getKeyword());
  reportIf(keywords.includes('ADD'), 'ADD fetches and unpacks: use COPY.');
  for (const each of dockerfile.getInstructions()) {
    const [keyword, words] = [each.getKeyword(), each.getRawArgumentsContent() ?? ''];
    reportIf(
      (keyword === 'ENV' || keyword === 'ARG') && secretName.test(words),
      `${keyword} ${words} leaves a secret in the image.`,
    );
    reportIf(keyword === 'RUN' && /\bnpm (install|i)\b/.test(words), '`npm install` does not follow the lock file.');
    reportIf(
      keyword === 'RUN' && /\bnpm ci\b/.test(words) && !words.includes('--ignore-scripts'),
      '`npm ci` runs scripts of packages.',
    );
    reportIf(
      keyword === 'RUN' && /\b(curl|wget|sudo)\b/.test(words),
      `${words} downloads something that is not pinned, or needs root.`,
    );
    reportIf(
      each instanceof Copy && each.getFlags().some((flag) => flag.getName() === 'chown'),
      'The files of the image must belong to root.',
    );
  }
  const order = last.instructions.map((each) => each.getKeyword());
  const user = last.instructions.findLast((each) => each.getKeyword() === 'USER')?.getRawArgumentsContent() ?? '';
  reportIf(!/^[1-9]\d*(:[1-9]\d*)?$/.test(user), 'USER must be a number other than 0.');
  reportIf(order.indexOf('USER') > order.indexOf('ENTRYPOINT'), 'USER must come before ENTRYPOINT.');
  reportIf(order.lastIndexOf('COPY') > order.indexOf('USER'), 'COPY must come before USER.');
  reportIf(order.includes('RUN'), 'The last stage must not run commands: their output stays in the image.');
  reportIf(
    last.instructions.some((each) => each.getKeyword() === 'COPY' && copyOf(each).sources.includes('.')),
    'The last stage copies the whole context.',
  );
  const entrypoint = execForm(last, 'ENTRYPOINT');
  reportIf(entrypoint === null, 'ENTRYPOINT must exist, in the exec form: a shell does not pass on signals.');
  reportIf(
    /^(npm|npx|sh|bash)$/.test(entrypoint?.[0] ?? ''),
    'ENTRYPOINT must be node itself, so that node receives the signals.',
  );
  reportIf(order.includes('CMD') && execForm(last, 'CMD') === null, 'CMD must be in the exec form.');
  if (!isServer) return problems;
  reportIf(execForm(last, 'HEALTHCHECK') === null, 'HEALTHCHECK must exist, in the exec form.');
  reportIf(!order.includes('EXPOSE'), 'EXPOSE must list the ports.');
  reportIf(!order.includes('STOPSIGNAL'), 'STOPSIGNAL must be the signal that drains the node.');
  reportIf(!text.includes('org.opencontainers.image.'), 'LABEL must describe the image.');
  return problems;
}
