/** `fanfare bench`: the load generator of the repository, with its own options and help. */
import { runLoadtest } from '@fanfare/loadtest/command';
import { brokerOf, defaultUrl } from './broker.js';

/** The words with which the load generator does something else than a load on a broker. */
const others = ['report', 'levels', '--help'];

/** The broker and the token come from the environment, as in the other commands. */
export async function runBench(args: readonly string[]): Promise<void> {
  const given = (option: string): boolean => args.some((arg) => arg === option || arg.startsWith(`${option}=`));
  const { FANFARE_URL: url = defaultUrl, FANFARE_TOKEN: token = '' } = process.env;
  const added: string[] = [];
  const isLoad = args[0] !== undefined && !others.includes(args[0]) && !given('--help');
  if (isLoad && !given('--url')) added.push('--url', brokerOf({ url, timeout: 10 }).address.href);
  if (isLoad && !given('--token') && token !== '') added.push('--token', token);
  await runLoadtest([...args, ...added], 'fanfare bench');
}
