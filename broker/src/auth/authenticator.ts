/** Finds out who a token belongs to. */
import { createHmac, KeyObject, timingSafeEqual } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Log } from '../observe/log.js';
import { ApiKeys, apiKeyPrefix } from './api-keys.js';
import type { AuthConfig, Issuer, IssuerKey } from './auth-config.js';
import { AuthError } from './auth-error.js';
import type { Identity } from './identity.js';
import { type JwksCounters, JwksKeys } from './jwks.js';
import { JwtVerifier, LocalKeys } from './jwt.js';

/** An issuer, with the objects that check its tokens. */
interface KnownIssuer {
  readonly settings: Issuer;
  readonly keys: readonly IssuerKey[];
  /** Null if it publishes no keys. */
  readonly published: JwksKeys | null;
  readonly verifier: JwtVerifier;
}

/** A key of an issuer, or the service with an API key. */
type FoundKey =
  | { readonly issuer: string; readonly clockSkewSeconds: number; readonly signedWith: IssuerKey }
  | { readonly identity: Identity };

export class Authenticator {
  #issuers: ReadonlyMap<string, KnownIssuer> = new Map();
  #apiKeys = new ApiKeys([]);

  /** `onKeyRemoved`: called when a key was removed, so that {@link accepts} may return false for open connections. */
  constructor(
    auth: AuthConfig,
    private readonly log: Log,
    private readonly counters: JwksCounters,
    private readonly onKeyRemoved: () => void,
  ) {
    this.#use(auth);
  }

  /**
   * Replaces issuers and keys. {@link accepts} then returns false for connections whose key was removed or whose API
   * key has changed. Other connections are not affected.
   */
  replace(auth: AuthConfig): void {
    this.#use(auth);
    this.onKeyRemoved();
  }

  /** The service with this API key; null if the token is not an API key of this node. Costs one hash. */
  serviceOf(token: string): Identity | null {
    return this.#apiKeys.find(token);
  }

  /** Whether this is the subject of an API key of this node. */
  isApiKey(subject: string): boolean {
    return this.#apiKeys.has(subject);
  }

  /** Rejects with {@link AuthError}: `unavailable` if the node cannot read the keys of the issuer now. */
  async authenticate(token: string): Promise<Identity> {
    const service = this.serviceOf(token);
    if (service !== null) return service;
    if (token.startsWith(apiKeyPrefix)) throw new AuthError('invalidToken', 'Unknown API key.');
    if (this.#issuers.size === 0) throw new AuthError('invalidToken', 'This node accepts API keys only.');
    const known = this.#issuers.get(JwtVerifier.issuerOf(token));
    if (known === undefined)
      throw new AuthError('invalidToken', 'The issuer of the token is not configured on this node.');
    return known.verifier.verify(token);
  }

  /** Whether the issuer still has the key that signed the token, or the API key is unchanged. */
  accepts(identity: Identity): boolean {
    const { issuer, signedWith } = identity;
    if (signedWith === null) return this.#apiKeys.accepts(identity);
    return this.#issuers.get(issuer ?? '')?.verifier.accepts(signedWith) === true;
  }

  /**
   * 8 bytes that say which key signed the token, or which API key it is. The first 4 say which issuer has the key. Nobody
   * can compute them without `secret`, so they show nothing about a key that can be guessed.
   */
  keyNameOf({ issuer, subject, signedWith }: Identity, secret: Buffer): Buffer {
    if (signedWith === null) return nameOf(secret, subject, this.#apiKeys.secretOf(subject) ?? Buffer.alloc(0));
    return nameOf(secret, issuer ?? '', bytesOf(signedWith));
  }

  /**
   * Finds the key with a name of {@link keyNameOf}. Null if this node accepts no such key. Rejects with
   * {@link AuthError} `unavailable` if the node cannot read the keys of its issuer now.
   */
  async findKey(name: Buffer, subject: string, secret: Buffer): Promise<FoundKey | null> {
    const service = this.#apiKeys.named(subject);
    if (service !== null) return timingSafeEqual(this.keyNameOf(service, secret), name) ? { identity: service } : null;
    const owner = name.subarray(0, ownerNameBytes);
    const [issuer, known] = [...this.#issuers].find(([id]) => ownerNameOf(secret, id).equals(owner)) ?? [];
    if (issuer === undefined || known === undefined) return null;
    const { verifier } = known;
    const signedWith = await verifier.findKey((key) => timingSafeEqual(nameOf(secret, issuer, bytesOf(key)), name));
    return signedWith && { issuer, clockSkewSeconds: verifier.clockSkewSeconds, signedWith };
  }

  close(): void {
    for (const { published } of this.#issuers.values()) published?.close();
  }

  #use({ issuers, apiKeys }: AuthConfig): void {
    const previous = this.#issuers;
    this.#issuers = new Map(
      issuers.map((issuer, index) => [issuer.issuer, this.#knownIssuer(issuer, index, previous.get(issuer.issuer))]),
    );
    const kept = new Set([...this.#issuers.values()].map(({ published }) => published));
    for (const { published } of previous.values()) if (!kept.has(published)) published?.close();
    this.#apiKeys = this.#apiKeys.replacedBy(apiKeys);
  }

  /** Unchanged keys remain the same objects, because connections are compared with them ({@link accepts}). */
  #knownIssuer(settings: Issuer, index: number, before: KnownIssuer | undefined): KnownIssuer {
    const keys = settings.keys.map((key) => before?.keys.find((known) => isSameKey(known, key)) ?? key);
    const published = this.#publishedKeys(settings, `issuers[${index}]`, before);
    const sources = [new LocalKeys(keys), ...(published === null ? [] : [published])];
    return { settings, keys, published, verifier: new JwtVerifier(settings, sources) };
  }

  #publishedKeys({ jwksUrl, algorithms }: Issuer, place: string, before: KnownIssuer | undefined): JwksKeys | null {
    if (jwksUrl === null) return null;
    const known = before?.published ?? null;
    const isSame =
      before?.settings.jwksUrl === jwksUrl &&
      isDeepStrictEqual(new Set(before.settings.algorithms), new Set(algorithms));
    if (isSame && known !== null) {
      known.place = place;
      return known;
    }
    // The previous keys remain valid until the new URL has answered.
    const keys = known?.keys?.filter(({ algorithm }) => algorithms.includes(algorithm)) ?? null;
    return new JwksKeys({ jwksUrl, algorithms }, keys, place, this.log, this.counters, this.onKeyRemoved);
  }
}

const ownerNameBytes = 4;

function nameOf(secret: Buffer, owner: string, key: Buffer): Buffer {
  const keyName = createHmac('sha256', secret).update(`key ${owner}\n`).update(key).digest().subarray(0, 4);
  return Buffer.concat([ownerNameOf(secret, owner), keyName]);
}

function ownerNameOf(secret: Buffer, owner: string): Buffer {
  return createHmac('sha256', secret).update(`owner ${owner}`).digest().subarray(0, ownerNameBytes);
}

function bytesOf({ key }: IssuerKey): Buffer {
  if (!(key instanceof KeyObject)) return Buffer.from(key);
  return key.type === 'secret' ? key.export() : key.export({ format: 'der', type: 'spki' });
}

function isSameKey(one: IssuerKey, other: IssuerKey): boolean {
  if (one.kid !== other.kid || one.algorithm !== other.algorithm) return false;
  if (one.key instanceof KeyObject && other.key instanceof KeyObject) return one.key.equals(other.key);
  return isDeepStrictEqual(one.key, other.key);
}
