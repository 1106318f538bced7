/**
 * `fanfare bench`: the load generator of the repository, with its own options and help. The image of a node lacks it,
 * because its packages would take 20 MB there.
 */
import { brokerOf, defaultUrl } from './broker.js';
import { isMissing } from './missing-package.js';
import { note } from './output.js';

/** The words with which the load generator does something else than a load on a broker. */
const others = ['report', 'levels', '--help'];

/** The broker and the token come from the environment, as in the other commands. */
export async function runBench(args: readonly string[]): Promise<void> {
  const loadtest = await import('@fanfare/loadtest/command').catch((error: unknown) => {
    if (!isMissing('@fanfare/loadtest', error)) throw error;
    note('fanfare: The image of a node has no load generator. Use the one of loadtest/Dockerfile (docs/loadtest.md).');
    process.exitCode = 1;
    return null;
  });
  const given = (option: string): boolean => args.some((arg) => arg === option || arg.startsWith(`${option}=`));
  const { FANFARE_URL: url = defaultUrl, FANFARE_TOKEN: token = '' } = process.env;
  const added: string[] = [];
  const isLoad = args[0] !== undefined && !others.includes(args[0]) && !given('--help');
  if (isLoad && !given('--url')) added.push('--url', brokerOf({ url, timeout: 10 }).address.href);
  if (isLoad && !given('--token') && token !== '') added.push('--token', token);
  await loadtest?.runLoadtest([...args, ...added], 'fanfare bench');
}
