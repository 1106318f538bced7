/** Shared by the small programs: arguments, the client, and errors in one sentence. */
import { type Client, ConnectionError, createClient } from '@fanfare/client';

const token = process.env['FANFARE_TOKEN'];

/** Returns `least` to `most` arguments. For another number, or a flag, prints the usage and exits. */
export function readArguments(usage: string, least: number, most: number): readonly string[] {
  const given = process.argv.slice(2);
  const asksForHelp = given.some((argument) => argument === '--help' || argument === '-h');
  if (given.length >= least && given.length <= most && !given.some((argument) => argument.startsWith('-')))
    return given;
  (asksForHelp ? process.stdout : process.stderr).write(`${usage}\n`);
  process.exit(asksForHelp ? 0 : 2);
}

/**
 * A client with the token in FANFARE_TOKEN, if it is set. It prints why it is not connected, once for each reason, and
 * when it is connected again.
 */
export function openClient(url: string): Client {
  const client = createClient(url, token === undefined ? {} : { getToken: async () => token });
  const print = (text: string): void => void process.stderr.write(`${url}: ${text}\n`);
  let printed: string | null = null;
  let wasConnected = false;
  client.on('state', (state) => {
    if (state.name === 'connecting' && state.attempt > 0 && state.reason !== printed) {
      printed = state.reason;
      print(`${state.reason.replace(/\.$/, '')}; trying again.`);
    } else if (state.name === 'connected') {
      if (printed !== null) print(wasConnected ? 'connected again.' : 'connected.');
      printed = null;
      wasConnected = true;
    }
  });
  return client;
}

/** Prints what went wrong; the exit code is 1. */
export function endWith(error: unknown): void {
  const needsToken = error instanceof ConnectionError && error.closeCode === 4502 && token === undefined;
  const advice = needsToken ? ' Set FANFARE_TOKEN to a token or an API key.' : '';
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}${advice}\n`);
  process.exitCode = 1;
}
