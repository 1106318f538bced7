/** A Dockerfile, read: its stages with their instructions, and what is wrong with it. */
import { Copy, DockerfileParser, From, type Instruction } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';

export interface Stage {
  /** As `COPY --from` says it; null: the last one. */
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

/** `["node", "main.js"]` behind the keyword; null where it is in the shell form, or not there. */
export function execForm(stage: Stage, keyword: 'ENTRYPOINT' | 'CMD' | 'HEALTHCHECK'): string[] | null {
  const instruction = stage.instructions.findLast((each) => each.getKeyword() === keyword);
  if (instruction === undefined) return null;
  // The parser takes the words of a health check one by one.
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

/** What `ENV` sets. */
export function environmentOf(stage: Stage): Record<string, string> {
  const pairs = stage.instructions
    .filter((each) => each.getKeyword() === 'ENV')
    .flatMap((each) => each.getArguments().map((argument) => argument.getValue().split('=', 2)));
  return Object.fromEntries(pairs.map(([name = '', value = '']) => [name, value]));
}

/** Sources and target of a `COPY`, and the stage that it takes them from; null: from the context. */
export function copyOf(instruction: Instruction): { from: string | null; sources: string[]; target: string } {
  const words = instruction.getArguments().map((argument) => argument.getValue());
  const from = instruction instanceof Copy ? (instruction.getFromFlag()?.getValue() ?? null) : null;
  return { from, sources: words.slice(0, -1), target: words.at(-1) ?? '' };
}

export interface Demands {
  /** Whether it is a server: with ports, a health check and a signal to stop. */
  readonly isServer: boolean;
}

const secretName = /SECRET|TOKEN|PASSWORD|PASSWD|_KEY\b|CREDENTIAL/i;

/** What is wrong with it, a sentence for each; none: it is as we want it. */
export function complaintsAbout(text: string, { isServer }: Demands): string[] {
  const dockerfile = DockerfileParser.parse(text);
  const stages = stagesOf(text);
  const last = stages.at(-1);
  const complaints = validate(text).map(({ message }) => String(message));
  if (last === undefined) return complaints;
  const complain = (isWrong: boolean, sentence: string): void => {
    if (isWrong) complaints.push(sentence);
  };
  const built = new Set(stages.map(({ name }) => name));
  for (const { image } of stages.filter((stage) => !built.has(stage.image))) {
    complain(!/:\d+\.\d+\.\d+-/.test(image) && !image.includes('@sha256:'), `${image} is not pinned to a version.`);
    complain(/alpine|musl/.test(image), `${image} has no glibc.`);
  }
  complain(stages.length < 2, 'What builds it is in the image: it has one stage.');
  const keywords = dockerfile.getInstructions().map((each) => each.getKeyword());
  complain(keywords.includes('ADD'), 'ADD fetches and unpacks: use COPY.');
  for (const each of dockerfile.getInstructions()) {
    const [keyword, words] = [each.getKeyword(), each.getRawArgumentsContent() ?? ''];
    complain(
      (keyword === 'ENV' || keyword === 'ARG') && secretName.test(words),
      `${keyword} ${words} leaves a secret in the image.`,
    );
    complain(keyword === 'RUN' && /\bnpm (install|i)\b/.test(words), '`npm install` does not hold to the lock file.');
    complain(
      keyword === 'RUN' && /\bnpm ci\b/.test(words) && !words.includes('--ignore-scripts'),
      '`npm ci` runs scripts of packages.',
    );
    complain(
      keyword === 'RUN' && /\b(curl|wget|sudo)\b/.test(words),
      `${words} fetches what nothing pins, or is root.`,
    );
    complain(
      each instanceof Copy && each.getFlags().some((flag) => flag.getName() === 'chown'),
      'The files of the image must belong to root.',
    );
  }
  const order = last.instructions.map((each) => each.getKeyword());
  const user = last.instructions.findLast((each) => each.getKeyword() === 'USER')?.getRawArgumentsContent() ?? '';
  complain(!/^[1-9]\d*(:[1-9]\d*)?$/.test(user), 'USER must be a number other than 0.');
  complain(order.indexOf('USER') > order.indexOf('ENTRYPOINT'), 'USER stands behind ENTRYPOINT.');
  complain(order.lastIndexOf('COPY') > order.indexOf('USER'), 'COPY stands behind USER.');
  complain(order.includes('RUN'), 'The last stage runs something: what it writes is in the image.');
  complain(
    last.instructions.some((each) => each.getKeyword() === 'COPY' && copyOf(each).sources.includes('.')),
    'The last stage copies the whole context.',
  );
  const entrypoint = execForm(last, 'ENTRYPOINT');
  complain(entrypoint === null, 'ENTRYPOINT must be there, in the exec form: a shell keeps signals to itself.');
  complain(
    /^(npm|npx|sh|bash)$/.test(entrypoint?.[0] ?? ''),
    'ENTRYPOINT must be node itself, which gets the signals.',
  );
  complain(order.includes('CMD') && execForm(last, 'CMD') === null, 'CMD must be in the exec form.');
  if (!isServer) return complaints;
  complain(execForm(last, 'HEALTHCHECK') === null, 'HEALTHCHECK must be there, in the exec form.');
  complain(!order.includes('EXPOSE'), 'EXPOSE must say the ports.');
  complain(!order.includes('STOPSIGNAL'), 'STOPSIGNAL must say what drains the node.');
  complain(!text.includes('org.opencontainers.image.'), 'LABEL must say what the image is.');
  return complaints;
}
