/** What a Redis or Sentinel user may do, as the rules in the documentation and as the server reports it. */
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
  /** Number of words including its name; a negative number is a minimum. */
  readonly arity: number;
  readonly flags: readonly string[];
  /** Position of its first key, counted in words; 0 if it has none, or if an argument gives their number. */
  readonly firstKey: number;
  readonly lastKey: number;
}

type Info = readonly [name: string, arity: number, flags: readonly string[], first: number, last: number];

/** Every command of the server that can be called. Subcommands are listed one by one. */
async function commandsOf(admin: Redis): Promise<Command[]> {
  const names = (await admin.call('COMMAND', 'LIST')) as string[];
  const infos = (await admin.call('COMMAND', 'INFO', ...names)) as (Info & { readonly 9: readonly Info[] })[];
  return infos.flatMap(([name, arity, flags, firstKey, lastKey, ...rest]) => {
    // A command that consists of subcommands cannot be called itself. COMMAND is the exception.
    const subcommands = rest.at(-1) as unknown as readonly Info[];
    return subcommands.length > 0 && arity < -1 ? [] : [{ name, arity, flags, firstKey, lastKey }];
  });
}

/** Calls a command with its minimum number of words, including this word. */
async function call(user: Redis, { name, arity }: Command, words: Readonly<Record<number, string>> = {}) {
  const [command = '', ...sub] = name.split('|');
  const own = [command, ...sub].length;
  const rest = Array.from({ length: Math.abs(arity) - own }, (_, index) => words[index + own] ?? '1');
  return user.call(command, ...sub, ...rest).then(
    () => 'carried out',
    ({ message }: Error) => message,
  );
}

/** The commands that the user may run, in alphabetical order. The permitted ones do run, but have no effect. */
export async function commandsPermitted(admin: Redis, user: Redis): Promise<string[]> {
  const permitted: string[] = [];
  for (const command of await commandsOf(admin)) {
    // Every user may log in and disconnect, whatever the rules are.
    if (command.flags.includes('no_auth')) continue;
    const answer = await call(user, command);
    // EXEC returns that the transaction was discarded, followed by the reason.
    if (!/NOPERM .* run the /.test(answer)) permitted.push(command.name);
  }
  return permitted.toSorted();
}

/** The commands that every user of the server may run. */
export async function commandsForAll(admin: Redis): Promise<string[]> {
  return (await commandsOf(admin)).filter(({ flags }) => flags.includes('no_auth')).map(({ name }) => name);
}

/** How each of these commands answers if one of its keys is `key` and all others are `own`, by command and position. */
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
