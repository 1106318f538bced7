/** `fanfare token`: make tokens with the key of an issuer, and explain tokens. */
import { createPrivateKey, createSecretKey, type KeyObject, randomUUID } from 'node:crypto';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { readSecret } from '../broker.js';
import { declare } from '../command.js';
import { Failure, UsageFailure } from '../failure.js';
import { readInput } from '../input.js';
import { jsonText, styled, visible, writeLine } from '../output.js';
import { explainToken, type TokenReport } from '../token-report.js';

interface CreateOptions {
  readonly issuer: string;
  readonly subject: string;
  readonly audience?: string;
  readonly secretFile?: string;
  readonly secret?: string;
  readonly keyFile?: string;
  readonly keyId?: string;
  readonly publish?: readonly string[];
  readonly subscribe?: readonly string[];
  readonly history?: readonly string[];
  readonly expires: number;
}

export function tokenCommand(): Command {
  return declare('token', 'Make a token for a user, or explain one.', [
    {
      command: 'fanfare token create --issuer my-app --subject user-17 --secret-file secret.txt --subscribe "chat.>"',
      about: 'a token for 15 minutes, signed with the secret of the issuer',
    },
    { command: 'fanfare token decode < token.txt', about: 'what a token says, and whether it has expired' },
  ])
    .addCommand(createCommand())
    .addCommand(decodeCommand());
}

function createCommand(): Command {
  return declare('create', 'Make a token, signed with a secret (HS256) or a private key (RS256, ES256, EdDSA).', [
    {
      command: 'fanfare token create --issuer my-app --subject user-17 --secret-file secret.txt --subscribe "chat.>"',
      about: 'may subscribe to all topics below chat.',
    },
    {
      command:
        'fanfare token create --issuer my-app --subject user-17 --key-file private.pem --publish chat.lobby --expires 1h',
      about: 'signed with a private key; may publish to one topic for an hour',
    },
    {
      command:
        'export FANFARE_TOKEN=$(fanfare token create --issuer my-app --subject me --secret-file secret.txt --subscribe ">")',
      about: 'a token for the next commands of this shell',
    },
  ])
    .requiredOption('--issuer <name>', 'the issuer, as in FANFARE_AUTH')
    .requiredOption('--subject <id>', 'the user')
    .option('--audience <name>', 'the audience, if FANFARE_AUTH requires one')
    .option('--secret-file <file>', 'a file with the secret of the issuer (HS256)')
    .addOption(
      new Option('--secret <secret>', 'the secret; other users of this machine can read arguments').env(
        'FANFARE_SECRET',
      ),
    )
    .option('--key-file <file>', 'a file with the private key of the issuer, in PEM (RS256, ES256 or EdDSA)')
    .option('--key-id <kid>', 'the id of the key (kid), if the issuer has several')
    .option('--publish <pattern...>', 'topics that the user may publish to')
    .option('--subscribe <pattern...>', 'topics that the user may subscribe to and read the history of')
    .option('--history <pattern...>', 'topics that the user may read the history of')
    .option('--expires <duration>', 'how long it is valid, such as 90s, 15m, 8h or 1d', parseDuration, 900)
    .action(create);
}

async function create(options: CreateOptions): Promise<void> {
  const { issuer, subject, audience, keyId, expires } = options;
  const grants = { publish: options.publish, subscribe: options.subscribe, history: options.history };
  if (Object.values(grants).every((patterns) => patterns === undefined)) {
    throw new UsageFailure('The token would permit nothing. Add --publish, --subscribe or --history.');
  }
  const { key, algorithm } = signingKey(options);
  const { SignJWT } = await import('jose');
  const token = new SignJWT({ fanfare: grants })
    .setProtectedHeader({ alg: algorithm, ...(keyId === undefined ? {} : { kid: keyId }) })
    .setIssuer(issuer)
    .setSubject(subject)
    .setJti(randomUUID())
    .setIssuedAt()
    .setExpirationTime(Math.floor(Date.now() / 1_000) + expires);
  if (audience !== undefined) token.setAudience(audience);
  await writeLine(await token.sign(key));
}

interface SigningKey {
  readonly key: KeyObject;
  readonly algorithm: 'HS256' | 'RS256' | 'ES256' | 'EdDSA';
}

/** The shortest secret that a node accepts, in bytes. */
const minSecretBytes = 32;

function signingKey({ secretFile, secret, keyFile }: CreateOptions): SigningKey {
  if (keyFile !== undefined) {
    if (secretFile !== undefined) throw new UsageFailure('Use --key-file or --secret-file, not both.');
    return privateKeyIn(keyFile);
  }
  const text = secretFile === undefined ? secret : readSecret(secretFile, 'the secret');
  if (text === undefined || text === '') {
    throw new UsageFailure('Name the key of the issuer: --secret-file, --key-file, or the variable FANFARE_SECRET.');
  }
  if (Buffer.byteLength(text) < minSecretBytes) {
    throw new UsageFailure(`The secret is shorter than ${minSecretBytes} bytes: no node accepts it.`);
  }
  return { key: createSecretKey(Buffer.from(text)), algorithm: 'HS256' };
}

function privateKeyIn(file: string): SigningKey {
  const pem = readSecret(file, 'the private key');
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new UsageFailure(`The file ${file} has no private key in PEM, or the key has a passphrase.`);
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'rsa') return { key, algorithm: 'RS256' };
  if (type === 'ed25519') return { key, algorithm: 'EdDSA' };
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return { key, algorithm: 'ES256' };
  throw new UsageFailure(`The key in ${file} cannot sign tokens: use RSA, Ed25519, or an EC key of the curve P-256.`);
}

const unitSeconds = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** In seconds. */
function parseDuration(text: string): number {
  const [, number = '', unit = ''] = /^(\d+)([smhd])$/.exec(text) ?? [];
  const seconds = Number(number) * (unitSeconds[unit as keyof typeof unitSeconds] ?? 0);
  if (seconds >= 1 && seconds <= 3_650 * 86_400) return seconds;
  throw new InvalidArgumentError('Give a duration such as 90s, 15m, 8h or 1d.');
}

interface DecodeOptions {
  readonly json?: true;
}

function decodeCommand(): Command {
  return declare('decode', 'Explain a token. Does not check its signature: only a node knows the keys.', [
    { command: 'fanfare token decode', about: 'the token in FANFARE_TOKEN, or of standard input' },
    { command: 'fanfare token decode < token.txt', about: 'the token in a file' },
  ])
    .argument('[token]', 'the token; without it, standard input or FANFARE_TOKEN')
    .option('--json', 'print its header and claims as JSON')
    .action(decode);
}

async function decode(given: string | undefined, { json }: DecodeOptions): Promise<void> {
  const { FANFARE_TOKEN: ofEnvironment = '' } = process.env;
  const isFromInput = given === '-' || (given === undefined && ofEnvironment === '');
  const token = (isFromInput ? await readInput() : (given ?? ofEnvironment)).trim().replace(/^Bearer\s+/i, '');
  if (token === '')
    throw new UsageFailure('There is no token: name it, pass it to standard input, or set FANFARE_TOKEN.');
  const report = explainToken(token, Date.now());
  if (json) await writeLine(jsonText({ header: report.header, claims: report.claims, problems: report.problems }));
  else await print(report);
  if (report.problems.length > 0) throw new Failure('No node accepts this token.');
}

async function print({ facts, problems }: TokenReport): Promise<void> {
  for (const fact of facts) await writeLine(visible(fact));
  for (const problem of problems) await writeLine(styled('red', visible(problem)));
}
