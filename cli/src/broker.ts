/** The broker that a command talks to: its address and token, a client for it, and requests over HTTP. */
import { readFileSync } from 'node:fs';
import { type AnyTopics, type Client, createClient, type FanfareError } from '@fanfare/client/json';
import { endpointPath } from '@fanfare/protocol';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { Failure, Stopped, UsageFailure } from './failure.js';
import { note } from './output.js';

/** The options of every command that connects. */
export interface BrokerOptions {
  readonly url: string;
  readonly token?: string;
  readonly tokenFile?: string;
  /** In seconds. */
  readonly timeout: number;
}

export const defaultUrl = `ws://127.0.0.1:8080${endpointPath}`;

export function addBrokerOptions(command: Command): Command {
  return command
    .addOption(
      new Option('-u, --url <url>', 'the broker: ws://, wss://, http:// or https://')
        .env('FANFARE_URL')
        .default(defaultUrl),
    )
    .addOption(new Option('--token-file <file>', 'a file with the token or API key'))
    .addOption(
      new Option(
        '--token <token>',
        'the token or API key; other users of this machine can read arguments, so prefer the variable',
      ).env('FANFARE_TOKEN'),
    )
    .addOption(
      new Option('--timeout <seconds>', 'how long to wait for the broker').argParser(parseSeconds).default(10),
    );
}

export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text.trim() !== '' && seconds > 0 && seconds <= 86_400) return seconds;
  throw new InvalidArgumentError('Give a number of seconds from 0.001 to 86400.');
}

/** A whole number that is at least 1. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && Number.isSafeInteger(count)) return count;
  throw new InvalidArgumentError('Give a whole number of at least 1.');
}

export interface Broker {
  /** The address of the WebSocket. */
  readonly address: URL;
  /** The address as messages show it, without user, password and query. */
  readonly shown: string;
  readonly token: string | null;
  readonly timeoutMs: number;
}

export function brokerOf(options: BrokerOptions): Broker {
  const address = addressOf(options.url);
  const { protocol, host, pathname } = address;
  return {
    address,
    shown: `${protocol}//${host}${pathname}`,
    token: tokenOf(options),
    timeoutMs: options.timeout * 1_000,
  };
}

function addressOf(text: string): URL {
  let url: URL | null = null;
  try {
    url = new URL(text.trim());
  } catch {
    // Explained below.
  }
  const hint = `Use one such as ${defaultUrl} or https://example.com.`;
  if (url === null || !/^(?:ws|http)s?:$/.test(url.protocol)) {
    const isWithoutScheme = /^(?:localhost|[\w.-]+\.[\w.-]+|\[[\d:a-f]+\])(?::\d+)?(?:\/\S*)?$/i.test(text.trim());
    throw new UsageFailure(
      isWithoutScheme
        ? `The URL has no scheme: write ws://${text.trim()}, or wss:// for TLS.`
        : `The URL must begin with ws://, wss://, http:// or https://. ${hint}`,
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new UsageFailure('The URL must not contain a user or password. Put the token into FANFARE_TOKEN.');
  }
  url.protocol = url.protocol.replace('http', 'ws');
  url.hash = '';
  if (url.pathname === '/') url.pathname = endpointPath;
  return url;
}

function tokenOf({ token, tokenFile }: BrokerOptions): string | null {
  if (tokenFile !== undefined) return readSecret(tokenFile, 'the token');
  const trimmed = token?.trim() ?? '';
  return trimmed === '' ? null : trimmed;
}

/** The content of a file without the line break at its end. `what`: how an error names the content. */
export function readSecret(file: string, what: string): string {
  let content: string;
  try {
    content = readFileSync(file, 'utf8').trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = { ENOENT: 'there is no such file', EACCES: 'this user may not read it', EISDIR: 'it is a folder' };
    throw new UsageFailure(`Cannot read ${what} from ${file}: ${why[code as keyof typeof why] ?? code}.`);
  }
  if (content === '') throw new UsageFailure(`The file ${file} is empty; it should contain ${what}.`);
  return content;
}

export type BrokerClient = Client<AnyTopics>;

/**
 * A client of the broker. Its state goes to standard error: the first failure at once, because the client tries again
 * without end.
 */
export function connect(broker: Broker): BrokerClient {
  const { token, timeoutMs } = broker;
  const client = createClient<AnyTopics>(broker.address, {
    timeoutMs,
    drainTimeoutMs: timeoutMs,
    connectTimeoutMs: Math.min(5_000, timeoutMs),
    ...(token === null ? {} : { getToken: () => token }),
  });
  let isNoted = false;
  client.on('state', (state) => {
    if (state.name === 'connected') {
      if (isNoted) note(`Connected to ${state.node}.`);
      isNoted = false;
    } else if (state.name === 'connecting' && !['connectCalled', 'draining'].includes(state.code) && !isNoted) {
      isNoted = true;
      note(`${broker.shown}: ${plain(state.reason)} Retrying.`);
    }
  });
  client.on('error', (error) => {
    // The state says it too.
    if (error.code !== 'connectFailed') note(`fanfare: ${plain(error.message)}`);
  });
  return client;
}

/** Resolves when the client is connected. Rejects with a {@link Failure} if that takes longer than the timeout. */
export async function untilConnected(client: BrokerClient, broker: Broker): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const { state } = client;
      const why = state.name === 'connected' ? '' : ` ${plain(state.reason)}`;
      reject(new Failure(`No connection to ${broker.shown} within ${broker.timeoutMs / 1_000} s.${why}`));
    }, broker.timeoutMs);
  });
  try {
    await Promise.race([client.connect(), timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** Rejects when a signal stops the command. The caller must race it: nobody else handles the rejection. */
export function untilSignal(stopped: Promise<number>, message: string): Promise<never> {
  return stopped.then((code) => {
    throw new Stopped(code, message);
  });
}

/** What went wrong, for a person. */
export function sentenceOf(error: unknown): string {
  const { message, cause } = error as FanfareError;
  const reason = cause instanceof Error && !message.includes(cause.message) ? ` (${cause.message})` : '';
  return `${plain(message)}${reason}`;
}

/** The sentence for somebody who sends no commands of the protocol. */
function plain(sentence: string): string {
  if (/The first command must be "connect"/.test(sentence)) {
    return 'The broker requires a token: set FANFARE_TOKEN, or give --token-file.';
  }
  return /HTTP (?:404|426|505)/.test(sentence) ? `${sentence} "fanfare doctor <url>" finds out why.` : sentence;
}

/** The URL of a path of the broker's HTTP interface, next to its WebSocket. */
export function httpUrl({ address }: Broker, path: string): URL {
  const url = new URL(address);
  url.protocol = url.protocol.replace('ws', 'http');
  const prefix = url.pathname.endsWith(endpointPath) ? url.pathname.slice(0, -endpointPath.length) : '';
  const [pathname = '', search = ''] = path.split('?', 2);
  url.pathname = prefix + pathname;
  url.search = search;
  return url;
}

/** Reads JSON from the broker. Throws a {@link Failure} that says why it has none. */
export async function getJson(broker: Broker, path: string): Promise<unknown> {
  const url = httpUrl(broker, path);
  const headers = broker.token === null ? {} : { Authorization: `Bearer ${broker.token}` };
  let response: Response;
  let body: string;
  try {
    response = await fetch(url, { headers, redirect: 'error', signal: AbortSignal.timeout(broker.timeoutMs) });
    body = await response.text();
  } catch (error) {
    throw new Failure(`${url.origin}: ${networkSentence(error as Error, broker.timeoutMs)}`);
  }
  let parsed: unknown = null;
  try {
    parsed = JSON.parse(body);
  } catch {
    // Explained below.
  }
  if (response.ok && parsed !== null) return parsed;
  const { detail } = (parsed ?? {}) as { readonly detail?: unknown };
  if (typeof detail === 'string') throw new Failure(detail);
  const isFanfare = response.headers.get('content-type')?.startsWith('text/plain') === true;
  throw new Failure(
    response.ok
      ? `${url.href} did not answer with JSON: check the URL.`
      : `HTTP ${response.status}${isFanfare && body.trim() !== '' ? `: ${body.trim().slice(0, 300)}` : ` from ${url.origin}: check the URL.`}`,
  );
}

/** The reason of a failed fetch. */
function networkSentence(error: Error, timeoutMs: number): string {
  if (error.name === 'TimeoutError') return `no answer within ${timeoutMs / 1_000} s.`;
  const cause = (error.cause ?? error) as NodeJS.ErrnoException & { readonly errors?: readonly Error[] };
  const message =
    cause.message || cause.errors?.map(({ message }) => message).join(', ') || cause.code || error.message;
  return `${message.replace(/\.$/, '')}.`;
}
