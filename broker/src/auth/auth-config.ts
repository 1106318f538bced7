/**
 * The content of FANFARE_AUTH: token issuers, API keys and the hook. Its values are secrets, so no sentence repeats
 * them.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { explainUnknown } from '../files/nearest.js';
import { readTextFile } from '../files/text-file.js';
import { type HookEvent, type HookSettings, hookEvents } from './hook.js';
import { type Grants, Permissions, readGrants } from './permissions.js';

const algorithms = ['HS256', 'RS256', 'ES256', 'EdDSA'] as const;
export type Algorithm = (typeof algorithms)[number];

/** A key, and the only algorithm that it may be used with. */
export interface IssuerKey {
  readonly algorithm: Algorithm;
  readonly kid: string | null;
  readonly key: KeyObject | Uint8Array;
}

/** An issuer of tokens, and how they are checked. */
export interface Issuer {
  readonly issuer: string;
  /** Null: a token need not name an audience. */
  readonly audience: string | null;
  readonly keys: readonly IssuerKey[];
  /** URL of its published keys (RFC 7517); null if it publishes none. */
  readonly jwksUrl: string | null;
  /** Allowed algorithms of the published keys. */
  readonly algorithms: readonly Algorithm[];
  readonly clockSkewSeconds: number;
  readonly maxLifetimeSeconds: number;
}

export interface ApiKey {
  readonly id: string;
  /** SHA-256 of the whole key. */
  readonly hash: Buffer;
  readonly grants: Grants;
  /** The same grants, as a lookup. */
  readonly permissions: Permissions;
  readonly isAdmin: boolean;
  /** Null if it shares its messageIds with no other key. */
  readonly messageIdGroup: string | null;
}

export interface AuthConfig {
  readonly issuers: readonly Issuer[];
  readonly apiKeys: readonly ApiKey[];
  readonly hook: HookSettings | null;
  /** The files that it was read from: the document, if it is a file, and the files with keys. */
  readonly files: readonly string[];
}

/** The configuration at the start of the node. */
export interface AuthSetting extends AuthConfig {
  /**
   * Reads the document and its files again. `report` receives one sentence for each mistake. Returns null if there is
   * no document.
   */
  reread(report: (mistake: string) => void): AuthConfig | null;
}

/** A place in the document, for the sentences about mistakes. */
class Place {
  constructor(
    private readonly report: (mistake: string) => void,
    private readonly path = '',
  ) {}

  at(part: string): Place {
    return new Place(this.report, this.path === '' ? part : `${this.path}.${part}`);
  }

  /** Reports a mistake. The sentence continues after the name of the setting: "has …" or "must …". */
  wrong(mistake: string): void {
    this.report(this.path === '' ? mistake : `at ${this.path}: it ${mistake}`);
  }
}

type Accepts = (value: unknown) => boolean;

/** A field of the document: for the error "must be …", and for docs/reference/settings.md. */
interface Field {
  readonly mustBe: string;
  readonly fallback: string;
  readonly about: string;
  readonly accepts: Accepts;
}

/** For how many topics the grants of a key are cached. One cache serves all connections of the service. */
const maxCachedTopicsOfKey = 10_000;

/** HMAC keys shorter than the hash weaken it (RFC 7518 section 3.2). */
const minSecretBytes = 32;

/** Valid names of keys and of their groups, and their description. */
const namePattern = /^[A-Za-z0-9-]{1,64}$/;
const namedAs = '1 to 64 characters of A-Z a-z 0-9 -';

const any: Accepts = () => true;
const isBoolean: Accepts = (value) => typeof value === 'boolean';
const text =
  (most: number): Accepts =>
  (value) =>
    typeof value === 'string' && value !== '' && value.length <= most;
const matching =
  (pattern: RegExp): Accepts =>
  (value) =>
    typeof value === 'string' && pattern.test(value);
const oneOf =
  (words: readonly string[]): Accepts =>
  (value) =>
    words.some((word) => word === value);
const someOf =
  (words: readonly string[]): Accepts =>
  (value) =>
    Array.isArray(value) && value.length > 0 && value.every(oneOf(words));

function field(accepts: Accepts, mustBe: string, fallback: string, about: string): Field {
  return { accepts, mustBe, fallback, about };
}

function integerField(least: number, most: number, fallback: string, about: string): Field {
  const accepts: Accepts = (value) => Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most;
  return field(accepts, `an integer from ${least} to ${most}`, fallback, about);
}

function wordsOf(words: readonly string[]): string {
  return `a list of ${words.map((word) => `"${word}"`).join(', ')}`;
}

/** Every field of the document, by part. */
export const authFields = {
  '': {
    issuers: field(Array.isArray, 'a list of issuers', '`[]`', 'Issuers whose JWTs the node accepts.'),
    apiKeys: field(Array.isArray, 'a list of API keys', '`[]`', 'API keys of backend services.'),
    hook: field(isObject, 'an object', 'none', 'Authorization hook: a backend that also decides.'),
  },
  issuers: {
    issuer: field(text(512), 'a text', 'required', 'Exact `iss` of its tokens.'),
    audience: field(text(512), 'a text', 'any', 'Required `aud` of its tokens.'),
    keys: field(Array.isArray, 'a list of keys', '`[]`', 'Keys that sign its tokens.'),
    jwksUrl: field(
      text(2_048),
      'a URL',
      'none',
      'URL of its published keys (JWKS), which the node reads in the background. `https`, or `http` to this machine only.',
    ),
    algorithms: field(
      someOf(algorithms),
      wordsOf(algorithms),
      '`["RS256","ES256","EdDSA"]`',
      'Allowed algorithms of the keys from `jwksUrl`.',
    ),
    clockSkewSeconds: integerField(0, 300, '5', 'Allowed clock difference to the issuer.'),
    maxLifetimeSeconds: integerField(
      1,
      31_536_000,
      '86400',
      'Maximum time from `iat` (if missing: from now) to `exp`. Revocations are kept for this long.',
    ),
  },
  keys: {
    algorithm: field(
      oneOf(algorithms),
      `one of ${algorithms.join(', ')}`,
      'required',
      'Algorithm of the key. Tokens with a different `alg` are rejected.',
    ),
    kid: field(text(512), 'a text', 'any', 'The `kid` of tokens signed with this key.'),
    secret: field(text(4_096), 'a text', 'none', `For HS256: at least ${minSecretBytes} bytes.`),
    secretFile: field(
      text(4_096),
      'the path of a file',
      'none',
      'File that contains the secret; a trailing line break is ignored.',
    ),
    publicKey: field(
      text(65_536),
      'a public key in PEM',
      'none',
      'For the other algorithms: the public key, or a certificate, in PEM.',
    ),
    publicKeyFile: field(text(4_096), 'the path of a file', 'none', 'File that contains the public key.'),
  },
  apiKeys: {
    id: field(
      matching(namePattern),
      namedAs,
      'required',
      'Name of the key: it is `fk_<id>_<secret>`, and the subject is `key:<id>`.',
    ),
    sha256: field(
      matching(/^[0-9a-f]{64}$/),
      '64 hexadecimal digits',
      'required',
      'SHA-256 of the whole key. `fanfare api-key <id>` creates both.',
    ),
    permissions: field(any, 'an object', '`{}`', 'Permissions, in the same form as the claim `fanfare` of a JWT.'),
    admin: field(isBoolean, 'true or false', 'false', 'Whether the key may revoke.'),
    messageIdGroup: field(
      matching(namePattern),
      namedAs,
      'none',
      'Keys of one group count as one publisher. If one key has used a `messageId`, a publish by another key with the same `messageId` is a duplicate.',
    ),
  },
  hook: {
    url: field(
      text(2_048),
      'a URL',
      'required',
      'URL that receives the `POST` requests: `https`, or `http` to this machine only.',
    ),
    allowHttp: field(
      isBoolean,
      'true or false',
      'false',
      'Whether `url` may be `http` to another machine. Anyone on the network path can then change the answers and read `token`.',
    ),
    events: field(
      someOf(hookEvents),
      wordsOf(hookEvents),
      'required',
      'Events that the hook decides about. `subscribe` covers every command that reads a topic.',
    ),
    timeoutMs: integerField(10, 60_000, '1000', 'How long the hook may take to answer.'),
    maxConcurrent: integerField(1, 100_000, '100', 'Maximum number of concurrent requests to the hook.'),
    whenDown: field(
      oneOf(['refuse', 'allow']),
      '"refuse" or "allow"',
      'refuse',
      'Decision while the hook does not answer.',
    ),
    token: field(
      matching(/^[\x21-\x7e]{1,4096}$/),
      '1 to 4096 printable ASCII characters without spaces',
      'none',
      'Sent as `Authorization: Bearer`.',
    ),
  },
} as const satisfies Record<string, Readonly<Record<string, Field>>>;

type Part = keyof typeof authFields;
type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads the document. `report` receives one sentence for each mistake, which continues after the name of the setting.
 * `file`: the file of the document, if any. `isStart`: at the start, a document without issuers and keys is a mistake.
 * Later it is how the last key is removed.
 */
export function readAuth(
  document: object,
  file: string | null,
  report: (mistake: string) => void,
  isStart = true,
): AuthConfig {
  const place = new Place(report);
  const fields = readFields('', document, place);
  const files = [...(file === null ? [] : [file]), ...keyFilesOf(fields['issuers'])];
  const issuers = listOf(fields['issuers']).map((issuer, index) =>
    readIssuer(issuer, place.at(`issuers[${index}]`), isStart),
  );
  const apiKeys = listOf(fields['apiKeys']).map((key, index) => readApiKey(key, place.at(`apiKeys[${index}]`)));
  const hook = fields['hook'] === undefined ? null : readHook(fields['hook'], place.at('hook'));
  if (isStart && issuers.length + apiKeys.length === 0)
    place.wrong('has neither issuers nor apiKeys, so no client could connect. Add one.');
  refuseRepeated(
    'issuers',
    'issuer',
    issuers.map(({ issuer }) => issuer),
    place,
  );
  refuseRepeated(
    'apiKeys',
    'id',
    apiKeys.map(({ id }) => id),
    place,
  );
  return { issuers, apiKeys, hook, files };
}

function keyFilesOf(issuers: unknown): readonly string[] {
  const fieldsOf = (value: unknown): Fields => (isObject(value) ? { ...value } : {});
  const keys = listOf(issuers).flatMap((issuer) => listOf(fieldsOf(issuer)['keys']));
  const files = keys.map(fieldsOf).flatMap((key) => [key['secretFile'], key['publicKeyFile']]);
  return files.filter((file) => typeof file === 'string');
}

function readIssuer(value: unknown, place: Place, isStart: boolean): Issuer {
  const fields = readFields('issuers', value, place);
  const jwksUrl = (fields['jwksUrl'] as string | undefined) ?? null;
  const listed = listOf(fields['keys']).map((key, index) => readKey(key, place.at(`keys[${index}]`)));
  const keys = listed.filter((key) => key !== null);
  refuseRepeated(
    'keys',
    'kid',
    listed.map((key) => key?.kid ?? null),
    place,
  );
  if (jwksUrl !== null && isUsableUrl('jwksUrl', jwksUrl, place) && isUnsafe(jwksUrl))
    place.wrong(
      'has an http jwksUrl to another machine. Anyone who can change its answer could forge tokens. Use https.',
    );
  if (isStart && isObject(value) && listed.length === 0 && !Object.hasOwn(value, 'jwksUrl'))
    place.wrong('has neither keys nor a jwksUrl, so its tokens cannot be verified. Add one.');
  const named = fields['algorithms'] as readonly Algorithm[] | undefined;
  if (named !== undefined && jwksUrl === null)
    place.wrong('has algorithms but no jwksUrl. Remove algorithms: each entry of keys has its own.');
  if (named?.includes('HS256') === true)
    place.wrong('has HS256 in algorithms. Remove it: a jwksUrl cannot publish a secret.');
  return {
    issuer: (fields['issuer'] as string | undefined) ?? '',
    audience: (fields['audience'] as string | undefined) ?? null,
    keys,
    jwksUrl,
    algorithms: named ?? ['RS256', 'ES256', 'EdDSA'],
    clockSkewSeconds: (fields['clockSkewSeconds'] as number | undefined) ?? 5,
    maxLifetimeSeconds: (fields['maxLifetimeSeconds'] as number | undefined) ?? 86_400,
  };
}

function readKey(value: unknown, place: Place): IssuerKey | null {
  const fields = readFields('keys', value, place);
  const algorithm = fields['algorithm'] as Algorithm | undefined;
  if (algorithm === undefined) return null;
  const kid = (fields['kid'] as string | undefined) ?? null;
  const isSecret = algorithm === 'HS256';
  const [inline, inFile] = isSecret ? (['secret', 'secretFile'] as const) : (['publicKey', 'publicKeyFile'] as const);
  const others = isSecret ? ['publicKey', 'publicKeyFile'] : ['secret', 'secretFile'];
  const other = others.find((name) => fields[name] !== undefined);
  if (other !== undefined) {
    place.wrong(`has a ${other}, which ${algorithm} does not use. Set ${inline} or ${inFile}.`);
    return null;
  }
  const material = materialOf(fields, inline, inFile, place);
  if (material === null) return null;
  const key = isSecret ? secretOf(material, place) : publicKeyOf(material, algorithm, place);
  return key === null ? null : { algorithm, kid, key };
}

function materialOf(fields: Fields, inline: string, inFile: string, place: Place): string | null {
  const [value, file] = [fields[inline] as string | undefined, fields[inFile] as string | undefined];
  if ((value === undefined) === (file === undefined)) {
    place.wrong(`needs one of ${inline} and ${inFile}${value === undefined ? '' : ', not both'}.`);
    return null;
  }
  if (file === undefined) return value ?? null;
  try {
    return readTextFile(file).replace(/\r?\n$/, '');
  } catch (error) {
    place.wrong(`names a ${inFile} that cannot be read: ${(error as Error).message}.`);
    return null;
  }
}

function secretOf(material: string, place: Place): Uint8Array | null {
  const secret = new TextEncoder().encode(material);
  if (material.includes('-----BEGIN')) {
    // Anyone who knows the public key could sign with it.
    place.wrong(
      'has a PEM key or certificate as its secret. HS256 requires a secret that only the issuer and this node know.',
    );
    return null;
  }
  if (secret.length >= minSecretBytes) return secret;
  place.wrong(`has a secret of ${secret.length} bytes. HS256 requires at least ${minSecretBytes}.`);
  return null;
}

function publicKeyOf(pem: string, algorithm: Algorithm, place: Place): KeyObject | null {
  if (/PRIVATE KEY/.test(pem)) {
    place.wrong('has a private key. Use the public key here, and keep the private key at the issuer.');
    return null;
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    place.wrong('has a public key that is not valid PEM.');
    return null;
  }
  const wrong = explainWrongKey(key, algorithm);
  if (wrong === null) return key;
  place.wrong(`has ${wrong}.`);
  return null;
}

/** Why the key does not fit the algorithm, to continue after "has"; null if it fits. */
export function explainWrongKey(key: KeyObject, algorithm: Algorithm): string | null {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const wanted = { HS256: undefined, RS256: 'rsa', ES256: 'ec', EdDSA: 'ed25519' }[algorithm];
  if (type !== wanted) return `a key of type ${type}, which ${algorithm} does not use`;
  if (algorithm === 'RS256' && (details?.modulusLength ?? 0) < 2_048) return 'an RSA key of fewer than 2048 bits';
  if (algorithm === 'ES256' && details?.namedCurve !== 'prime256v1') return 'a key on a curve other than P-256';
  return null;
}

function readApiKey(value: unknown, place: Place): ApiKey {
  const fields = readFields('apiKeys', value, place);
  const grants = readGrants(fields['permissions'] ?? {}, (wrong) => place.wrong(`has invalid permissions: ${wrong}`));
  return {
    id: (fields['id'] as string | undefined) ?? '',
    hash: Buffer.from((fields['sha256'] as string | undefined) ?? '', 'hex'),
    grants,
    permissions: new Permissions(grants, maxCachedTopicsOfKey),
    isAdmin: fields['admin'] === true,
    messageIdGroup: (fields['messageIdGroup'] as string | undefined) ?? null,
  };
}

function readHook(value: unknown, place: Place): HookSettings {
  const fields = readFields('hook', value, place);
  const url = (fields['url'] as string | undefined) ?? '';
  if (url !== '' && isUsableUrl('url', url, place) && isUnsafe(url) && fields['allowHttp'] !== true)
    place.wrong(
      'has an http url to another machine. Use https, or set "allowHttp": true if only the nodes and the hook are on the network path.',
    );
  return {
    url,
    events: (fields['events'] as readonly HookEvent[] | undefined) ?? [],
    timeoutMs: (fields['timeoutMs'] as number | undefined) ?? 1_000,
    maxConcurrent: (fields['maxConcurrent'] as number | undefined) ?? 100,
    whenDown: (fields['whenDown'] as 'refuse' | 'allow' | undefined) ?? 'refuse',
    token: (fields['token'] as string | undefined) ?? null,
  };
}

/** Returns the valid fields. */
function readFields(part: Part, value: unknown, place: Place): Fields {
  if (!isObject(value)) {
    place.wrong('must be an object.');
    return {};
  }
  const known: Readonly<Record<string, Field>> = authFields[part];
  const right: Record<string, unknown> = {};
  for (const [index, [name, content]] of Object.entries(value).entries()) {
    const field = Object.hasOwn(known, name) ? known[name] : undefined;
    if (field === undefined)
      place.wrong(`has an unknown field, number ${index + 1}; ${explainUnknown(name, Object.keys(known))}`);
    else if (field.accepts(content)) right[name] = content;
    else place.wrong(`has an invalid ${name}: it must be ${field.mustBe}.`);
  }
  for (const [name, { fallback }] of Object.entries(known)) {
    if (fallback === 'required' && !Object.hasOwn(value, name)) place.wrong(`has no ${name}.`);
  }
  return right;
}

function isUsableUrl(name: string, url: string, place: Place): boolean {
  const wrong = explainUnusableUrl(url);
  if (wrong !== null) place.wrong(`has a ${name} ${wrong}.`);
  return wrong === null;
}

function explainUnusableUrl(url: string): string | null {
  if (!URL.canParse(url)) return 'that is not a URL';
  const { protocol, username, password } = new URL(url);
  if (!/^https?:$/.test(protocol)) return 'that is neither https nor http';
  return username + password === '' ? null : 'with a user name or password, which the node does not send';
}

/** Whether other machines could change the answers on the network. */
function isUnsafe(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  const isHere = hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
  return protocol === 'http:' && !isHere;
}

/** `names`: the names of the elements of a list, in order; null or empty for elements without a name. */
function refuseRepeated(list: string, name: string, names: readonly (string | null)[], place: Place): void {
  for (const [index, each] of names.entries()) {
    const first = names.indexOf(each);
    if (each !== null && each !== '' && first < index)
      place.at(`${list}[${index}]`).wrong(`has the same ${name} as ${list}[${first}]. Each must be unique.`);
  }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
