/** What a user of Redis, or of a Sentinel, may do: as a rule of the documentation says it, and as the server does it. */
import type { Redis } from 'ioredis';

/** The commands in a rule such as `on >password ~fanfare:* +get +client|id`, in alphabetical order. */
export function commandsIn(rule: string): string[] {
  return rule
    .split(' ')
    .flatMap((word) => (word.startsWith('+') ? [word.slice(1)] : []))
    .toSorted();
}

interface Command {
  /** With `|` before the name of a subcommand. */
  readonly name: string;
  /** How many words it has with its name; less than 0: at least so many. */
  readonly arity: number;
  readonly flags: readonly string[];
  /** Where its keys are, counted in words; 0 if it has none, or says itself how many. */
  readonly firstKey: number;
  readonly lastKey: number;
}

type Info = readonly [name: string, arity: number, flags: readonly string[], first: number, last: number];

/** Every command of the server that can be called, each subcommand by itself. */
async function commandsOf(admin: Redis): Promise<Command[]> {
  const names = (await admin.call('COMMAND', 'LIST')) as string[];
  const infos = (await admin.call('COMMAND', 'INFO', ...names)) as (Info & { readonly 9: readonly Info[] })[];
  return infos.flatMap(([name, arity, flags, firstKey, lastKey, ...rest]) => {
    // A command that consists of subcommands cannot be called, except for COMMAND.
    const subcommands = rest.at(-1) as unknown as readonly Info[];
    return subcommands.length > 0 && arity < -1 ? [] : [{ name, arity, flags, firstKey, lastKey }];
  });
}

/** Calls a command with as many words as it must have, and this word at one place. */
async function call(user: Redis, { name, arity }: Command, words: Readonly<Record<number, string>> = {}) {
  const [command = '', ...sub] = name.split('|');
  const own = [command, ...sub].length;
  const rest = Array.from({ length: Math.abs(arity) - own }, (_, index) => words[index + own] ?? '1');
  return user.call(command, ...sub, ...rest).then(
    () => 'carried out',
    ({ message }: Error) => message,
  );
}

/** The commands that the user may run, in alphabetical order. Those that it may run are called too, and do no harm. */
export async function commandsPermitted(admin: Redis, user: Redis): Promise<string[]> {
  const permitted: string[] = [];
  for (const command of await commandsOf(admin)) {
    // Anybody may log in and leave, whatever his rules are.
    if (command.flags.includes('no_auth')) continue;
    const answer = await call(user, command);
    // EXEC says that the transaction is discarded, and behind that why.
    if (!/NOPERM .* run the /.test(answer)) permitted.push(command.name);
  }
  return permitted.toSorted();
}

/** The commands that every user of the server may run. */
export async function commandsForAll(admin: Redis): Promise<string[]> {
  return (await commandsOf(admin)).filter(({ flags }) => flags.includes('no_auth')).map(({ name }) => name);
}

/** How each of these commands answers if one of its keys is `key`, and the others `own`: by command and place. */
export async function answersForKey(admin: Redis, user: Redis, names: readonly string[], key: string, own: string) {
  const answers: [place: string, answer: string][] = [];
  for (const command of (await commandsOf(admin)).filter(({ name }) => names.includes(name))) {
    const { name, arity, firstKey, lastKey } = command;
    if (firstKey === 0) continue;
    const last = lastKey < 0 ? Math.abs(arity) + lastKey : lastKey;
    const places = Array.from({ length: last - firstKey + 1 }, (_, index) => firstKey + index);
    for (const place of places) {
      const words = Object.fromEntries(places.map((each) => [each, each === place ? key : own]));
      answers.push([`${name} ${place}`, await call(user, command, words)]);
    }
  }
  return answers;
}
