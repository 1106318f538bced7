/** What FANFARE_AUTH holds: who may issue tokens, and which API keys there are. Its values are secrets: no sentence repeats them. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { type HookEvent, type HookSettings, hookEvents } from './hook.js';
import { Permissions, readGrants } from './permissions.js';

export const algorithms = ['HS256', 'RS256', 'ES256', 'EdDSA'] as const;
export type Algorithm = (typeof algorithms)[number];

/** A key, and the one algorithm that it is good for. */
export interface IssuerKey {
  readonly algorithm: Algorithm;
  readonly kid: string | null;
  readonly key: KeyObject | Uint8Array;
}

/** Who issues tokens, and how they are checked. */
export interface Issuer {
  readonly issuer: string;
  /** Null: a token need not name an audience. */
  readonly audience: string | null;
  readonly keys: readonly IssuerKey[];
  /** Where its keys are published (RFC 7517); null where they are not. */
  readonly jwksUrl: string | null;
  /** Algorithms that keys from there may be for. */
  readonly algorithms: readonly Algorithm[];
  readonly clockSkewSeconds: number;
  readonly maxLifetimeSeconds: number;
}

export interface ApiKey {
  readonly id: string;
  /** SHA-256 of the whole key. */
  readonly hash: Buffer;
  readonly permissions: Permissions;
  readonly isAdmin: boolean;
}

export interface AuthConfig {
  readonly issuers: readonly Issuer[];
  readonly apiKeys: readonly ApiKey[];
  readonly hook: HookSettings | null;
}

/** Hears one sentence for each mistake, which goes on from the name of the setting. */
type Tell = (wrong: string) => void;

/** A field of the document: for the error "must be …", and for docs/configuration.md. */
interface Field {
  readonly mustBe: string;
  readonly fallback: string;
  readonly about: string;
  readonly schema: z.ZodType;
}

/** HMAC keys shorter than the hash weaken it (RFC 7518 section 3.2). */
const minSecretBytes = 32;

const text = (most: number): z.ZodType => z.string().min(1).max(most);

function field(schema: z.ZodType, mustBe: string, fallback: string, about: string): Field {
  return { schema, mustBe, fallback, about };
}

function integerField(least: number, most: number, fallback: string, about: string): Field {
  return field(z.int().min(least).max(most), `an integer from ${least} to ${most}`, fallback, about);
}

function wordsOf(words: readonly string[]): string {
  return `a list of ${words.map((word) => `"${word}"`).join(', ')}`;
}

/** Every field of the document, by the part of it that it stands in. */
export const authFields = {
  '': {
    issuers: field(z.array(z.unknown()), 'a list of issuers', '`[]`', 'Who issues JWTs that are accepted.'),
    apiKeys: field(z.array(z.unknown()), 'a list of API keys', '`[]`', 'Keys of backend services.'),
    hook: field(z.object({}), 'an object', 'none', 'A backend that is asked too.'),
  },
  issuers: {
    issuer: field(text(512), 'a text', 'required', 'The `iss` of its tokens, exactly.'),
    audience: field(text(512), 'a text', 'any', 'The `aud` that its tokens must have.'),
    keys: field(z.array(z.unknown()), 'a list of keys', '`[]`', 'Keys that its tokens are signed with.'),
    jwksUrl: field(
      text(2_048),
      'a URL',
      'none',
      'Where its keys are published (JWKS). It is read in the background; `https`, or `http` to this machine.',
    ),
    algorithms: field(
      z.array(z.enum(algorithms)).min(1),
      wordsOf(algorithms),
      '`["RS256","ES256","EdDSA"]`',
      'Algorithms that keys from `jwksUrl` may be for.',
    ),
    clockSkewSeconds: integerField(0, 300, '5', 'How far its clock may be off.'),
    maxLifetimeSeconds: integerField(
      1,
      31_536_000,
      '86400',
      'Longest time from `iat` (without it, from now) to `exp`.',
    ),
  },
  keys: {
    algorithm: field(
      z.enum(algorithms),
      `one of ${algorithms.join(', ')}`,
      'required',
      'What the key is good for. A token with another `alg` is refused.',
    ),
    kid: field(text(512), 'a text', 'any', 'The `kid` of tokens that are signed with it.'),
    secret: field(text(4_096), 'a text', 'none', `For HS256: at least ${minSecretBytes} bytes.`),
    secretFile: field(
      text(4_096),
      'the path of a file',
      'none',
      'File that holds the secret, without the line break at its end.',
    ),
    publicKey: field(
      text(65_536),
      'a public key in PEM',
      'none',
      'For the others: the public key, or a certificate, in PEM.',
    ),
    publicKeyFile: field(text(4_096), 'the path of a file', 'none', 'File that holds the public key.'),
  },
  apiKeys: {
    id: field(
      z.string().regex(/^[A-Za-z0-9-]{1,64}$/),
      '1 to 64 characters of A-Z a-z 0-9 -',
      'required',
      'Name of the key: it is `fk_<id>_<secret>`, and the subject is `key:<id>`.',
    ),
    sha256: field(
      z.string().regex(/^[0-9a-f]{64}$/),
      '64 hexadecimal digits',
      'required',
      'SHA-256 of the whole key; `fanfare api-key <id>` makes both.',
    ),
    permissions: field(z.unknown(), 'an object', '`{}`', 'What it may do, as in the claim `fanfare` of a JWT.'),
    admin: field(z.boolean(), 'true or false', 'false', 'Whether it may revoke.'),
  },
  hook: {
    url: field(text(2_048), 'a URL', 'required', 'Where to `POST` what is asked.'),
    events: field(z.array(z.enum(hookEvents)).min(1), wordsOf(hookEvents), 'required', 'What it is asked about.'),
    timeoutMs: integerField(10, 60_000, '1000', 'How long an answer may take.'),
    maxConcurrent: integerField(1, 100_000, '100', 'Questions open at once.'),
    whenDown: field(
      z.enum(['refuse', 'allow']),
      '"refuse" or "allow"',
      'refuse',
      'What holds while it does not answer.',
    ),
    token: field(text(4_096), 'a text', 'none', 'Sent as `Authorization: Bearer`.'),
  },
} as const satisfies Record<string, Readonly<Record<string, Field>>>;

type Part = keyof typeof authFields;
type Fields = Readonly<Record<string, unknown>>;

/** Reads the object in the text. */
export function readAuth(document: object, tell: Tell): AuthConfig {
  const fields = readFields('', document, tell);
  const issuers = listOf(fields['issuers']).map((issuer, index) => readIssuer(issuer, at(tell, `issuers[${index}]`)));
  const apiKeys = listOf(fields['apiKeys']).map((key, index) => readApiKey(key, at(tell, `apiKeys[${index}]`)));
  const hook = fields['hook'] === undefined ? null : readHook(fields['hook'], at(tell, 'hook'));
  if (issuers.length + apiKeys.length === 0) tell('has neither issuers nor apiKeys: nobody could connect.');
  refuseRepeated(
    'issuers',
    issuers.map(({ issuer }) => issuer),
    tell,
  );
  refuseRepeated(
    'apiKeys',
    apiKeys.map(({ id }) => id),
    tell,
  );
  return { issuers, apiKeys, hook };
}

function readIssuer(value: unknown, tell: Tell): Issuer {
  const fields = readFields('issuers', value, tell);
  const jwksUrl = (fields['jwksUrl'] as string | undefined) ?? null;
  const keys = listOf(fields['keys']).map((key, index) => readKey(key, at(tell, `keys[${index}]`)));
  if (jwksUrl !== null) refuseUnsafeUrl('jwksUrl', jwksUrl, tell);
  if (keys.length === 0 && jwksUrl === null) tell('has neither keys nor jwksUrl: none of its tokens could be checked.');
  const named = (fields['algorithms'] as readonly Algorithm[] | undefined) ?? ['RS256', 'ES256', 'EdDSA'];
  if (fields['algorithms'] !== undefined && jwksUrl === null)
    tell('has algorithms, which are for jwksUrl: keys have theirs.');
  if (named.includes('HS256')) tell('has HS256 among the algorithms of jwksUrl: a secret cannot be published.');
  return {
    issuer: (fields['issuer'] as string | undefined) ?? '',
    audience: (fields['audience'] as string | undefined) ?? null,
    keys: keys.filter((key) => key !== null),
    jwksUrl,
    algorithms: named,
    clockSkewSeconds: (fields['clockSkewSeconds'] as number | undefined) ?? 5,
    maxLifetimeSeconds: (fields['maxLifetimeSeconds'] as number | undefined) ?? 86_400,
  };
}

function readKey(value: unknown, tell: Tell): IssuerKey | null {
  const fields = readFields('keys', value, tell);
  const algorithm = fields['algorithm'] as Algorithm | undefined;
  if (algorithm === undefined) return null;
  const kid = (fields['kid'] as string | undefined) ?? null;
  const [inline, inFile] =
    algorithm === 'HS256' ? (['secret', 'secretFile'] as const) : (['publicKey', 'publicKeyFile'] as const);
  const others = algorithm === 'HS256' ? ['publicKey', 'publicKeyFile'] : ['secret', 'secretFile'];
  const wrong = others.find((name) => fields[name] !== undefined);
  if (wrong !== undefined) {
    tell(`has ${wrong}, which ${algorithm} does not take: give ${inline} or ${inFile}.`);
    return null;
  }
  const material = materialOf(fields, inline, inFile, tell);
  if (material === null) return null;
  const key = algorithm === 'HS256' ? secretOf(material, tell) : publicKeyOf(material, algorithm, tell);
  return key === null ? null : { algorithm, kid, key };
}

function materialOf(fields: Fields, inline: string, inFile: string, tell: Tell): string | null {
  const [value, file] = [fields[inline] as string | undefined, fields[inFile] as string | undefined];
  if ((value === undefined) === (file === undefined)) {
    tell(`needs one of ${inline} and ${inFile}.`);
    return null;
  }
  if (value !== undefined) return value;
  try {
    return readFileSync(file as string, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    tell(
      `names the ${inFile} ${JSON.stringify(file)}, which cannot be read: ${(error as NodeJS.ErrnoException).code}.`,
    );
    return null;
  }
}

function secretOf(material: string, tell: Tell): Uint8Array | null {
  const secret = new TextEncoder().encode(material);
  if (secret.length >= minSecretBytes) return secret;
  tell(`has a secret of ${secret.length} bytes: HS256 needs at least ${minSecretBytes}.`);
  return null;
}

function publicKeyOf(pem: string, algorithm: Algorithm, tell: Tell): KeyObject | null {
  if (/PRIVATE KEY/.test(pem)) {
    tell('has a private key: give the public one, and keep the other to who signs.');
    return null;
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    tell('has no public key in PEM.');
    return null;
  }
  const wrong = explainWrongKey(key, algorithm);
  if (wrong === null) return key;
  tell(`has ${wrong}.`);
  return null;
}

/** Why the key is not good for the algorithm, to go on from "has"; null where it is. */
export function explainWrongKey(key: KeyObject, algorithm: Algorithm): string | null {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const wanted = { HS256: undefined, RS256: 'rsa', ES256: 'ec', EdDSA: 'ed25519' }[algorithm];
  if (type !== wanted) return `a key of type ${type}, which ${algorithm} does not take`;
  if (algorithm === 'RS256' && (details?.modulusLength ?? 0) < 2_048) return 'an RSA key of fewer than 2048 bits';
  if (algorithm === 'ES256' && details?.namedCurve !== 'prime256v1') return 'a key of another curve than P-256';
  return null;
}

function readApiKey(value: unknown, tell: Tell): ApiKey {
  const fields = readFields('apiKeys', value, tell);
  const grants = readGrants(fields['permissions'] ?? {}, (wrong) => tell(`in its permissions ${wrong}`));
  return {
    id: (fields['id'] as string | undefined) ?? '',
    hash: Buffer.from((fields['sha256'] as string | undefined) ?? '', 'hex'),
    permissions: new Permissions(grants),
    isAdmin: fields['admin'] === true,
  };
}

function readHook(value: unknown, tell: Tell): HookSettings {
  const fields = readFields('hook', value, tell);
  const url = (fields['url'] as string | undefined) ?? '';
  if (url !== '' && !(URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)))
    tell('has a url that is none of http or https.');
  return {
    url,
    events: (fields['events'] as readonly HookEvent[] | undefined) ?? [],
    timeoutMs: (fields['timeoutMs'] as number | undefined) ?? 1_000,
    maxConcurrent: (fields['maxConcurrent'] as number | undefined) ?? 100,
    whenDown: (fields['whenDown'] as 'refuse' | 'allow' | undefined) ?? 'refuse',
    token: (fields['token'] as string | undefined) ?? null,
  };
}

/** The fields that are right. */
function readFields(part: Part, value: unknown, tell: Tell): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    tell('must be an object.');
    return {};
  }
  const known: Readonly<Record<string, Field>> = authFields[part];
  const right: Record<string, unknown> = {};
  for (const [name, content] of Object.entries(value)) {
    if (!Object.hasOwn(known, name)) {
      tell(
        `has ${JSON.stringify(name.slice(0, 64))}, which is no field here; those there are: ${Object.keys(known).join(', ')}.`,
      );
    } else if (known[name]?.schema.safeParse(content).success === true) right[name] = content;
    else tell(`has ${name}, which must be ${known[name]?.mustBe}.`);
  }
  for (const [name, { fallback }] of Object.entries(known)) {
    if (fallback === 'required' && !Object.hasOwn(value, name)) tell(`has no ${name}.`);
  }
  return right;
}

/** Keys over a channel that others can write to are theirs. */
function refuseUnsafeUrl(name: string, url: string, tell: Tell): void {
  if (!URL.canParse(url)) return tell(`has a ${name} that is no URL.`);
  const { protocol, hostname } = new URL(url);
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
  if (protocol !== 'https:' && !(protocol === 'http:' && isHere)) tell(`has a ${name} that is not https.`);
}

function refuseRepeated(part: string, names: readonly string[], tell: Tell): void {
  const repeated = names.find((name, index) => name !== '' && names.indexOf(name) < index);
  if (repeated !== undefined) tell(`has ${JSON.stringify(repeated)} twice among its ${part}.`);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function at(tell: Tell, place: string): Tell {
  return (wrong) => tell(`at ${place}: it ${wrong.replace(/^at /, 'at ')}`);
}
