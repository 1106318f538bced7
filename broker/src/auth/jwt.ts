/**
 * Checks JSON Web Tokens (RFC 7519) of one issuer. A token cannot choose how it is checked: the algorithm belongs to
 * the key (RFC 8725 section 3.1), and keys come only from the configuration.
 */
import { decodeJwt, decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose';
import { apiKeySubjectPrefix } from './api-keys.js';
import type { Issuer, IssuerKey } from './auth-config.js';
import { AuthError } from './auth-error.js';
import type { Identity } from './identity.js';
import { type Grants, Permissions, readGrants } from './permissions.js';

/** A source of keys. */
export interface KeySource {
  /** The keys that are wanted. Rejects with AuthError `unavailable` if there are none and the source may get them. */
  find(isWanted: (key: IssuerKey) => boolean): Promise<readonly IssuerKey[]>;
  /** Whether the source still has a key that was found in it. */
  has(key: IssuerKey): boolean;
  /** Whether the source had a wanted key, and the issuer has removed it since. */
  hasLost(isWanted: (key: IssuerKey) => boolean): boolean;
}

/** The keys of the configuration. */
export class LocalKeys implements KeySource {
  constructor(private readonly keys: readonly IssuerKey[]) {}

  async find(isWanted: (key: IssuerKey) => boolean): Promise<readonly IssuerKey[]> {
    return this.keys.filter(isWanted);
  }

  has(key: IssuerKey): boolean {
    return this.keys.includes(key);
  }

  hasLost(): boolean {
    return false;
  }
}

/** Headers that are refused: with each of them, some verifier once took a key or a rule from the token. */
const refusedHeaders = ['crit', 'jku', 'jwk', 'x5u', 'x5c'] as const;

/**
 * Maximum number of keys that the node tries for one token, so that unauthenticated clients cannot make it work for
 * long.
 */
const maxTries = 8;

const maxSubjectBytes = 128;
/** A longer id could not be revoked (api/api.ts). */
const maxTokenIdBytes = 512;

/** The claim that contains the permissions. */
const grantsClaim = 'fanfare';

export class JwtVerifier {
  constructor(
    private readonly settings: Issuer,
    private readonly sources: readonly KeySource[],
  ) {}

  get issuer(): string {
    return this.settings.issuer;
  }

  /** The issuer that the token claims, unverified: only to choose the verifier. Throws AuthError. */
  static issuerOf(token: string): string {
    return String(readUnverified(() => decodeJwt(token)).iss ?? '');
  }

  get clockSkewSeconds(): number {
    return this.settings.clockSkewSeconds;
  }

  /** The only wanted key; null if there is none. Rejects as {@link KeySource.find} does, if it may be a new key. */
  async findKey(isWanted: (key: IssuerKey) => boolean): Promise<IssuerKey | null> {
    for (const source of this.sources) {
      const [key] = await source.find(isWanted).catch((error: unknown) => {
        if (source.hasLost(isWanted)) return [];
        throw error;
      });
      if (key !== undefined) return key;
    }
    return null;
  }

  /** Whether tokens that were signed with this key are still accepted. */
  accepts(key: IssuerKey): boolean {
    return this.sources.some((source) => source.has(key));
  }

  /** Rejects with {@link AuthError}. */
  async verify(token: string): Promise<Identity> {
    const header = readUnverified(() => decodeProtectedHeader(token));
    const refused = refusedHeaders.find((name) => Object.hasOwn(header, name));
    if (refused !== undefined) throw invalid(`The header of the token has "${refused}", which is not accepted.`);
    const { kid = null, alg } = header;
    if (kid !== null && typeof kid !== 'string') throw invalid('The "kid" of the token is not a string.');
    // A key or a token without `kid` fits any.
    const fits = (key: IssuerKey): boolean => key.kid === null || kid === null || key.kid === kid;
    let tries = 0;
    for (const source of this.sources) {
      for (const key of await source.find(fits)) {
        if (key.algorithm !== alg || ++tries > maxTries) continue;
        const payload = await this.#verifyWith(key, token);
        if (payload !== null) return this.#identify(payload, key);
      }
    }
    throw invalid('No key of the issuer matches the signature of the token.');
  }

  /** Returns null if this key did not sign the token. */
  async #verifyWith({ key, algorithm }: IssuerKey, token: string): Promise<JWTPayload | null> {
    const { issuer, audience, clockSkewSeconds } = this.settings;
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: [algorithm],
        issuer,
        ...(audience === null ? {} : { audience }),
        clockTolerance: clockSkewSeconds,
        requiredClaims: ['exp', 'sub'],
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JWSSignatureVerificationFailed) return null;
      if (error instanceof errors.JWTExpired) throw new AuthError('tokenExpired', 'The token has expired.');
      if (error instanceof errors.JWTClaimValidationFailed)
        throw invalid(`The "${error.claim}" of the token is missing or wrong.`);
      if (error instanceof errors.JOSEError) throw invalid('The token is not a signed JWT.');
      throw error;
    }
  }

  #identify(payload: JWTPayload, signedWith: IssuerKey): Identity {
    const { sub, exp = 0, iat, jti, aud } = payload;
    const { audience, maxLifetimeSeconds, clockSkewSeconds } = this.settings;
    const nowSeconds = Date.now() / 1_000;
    if (!isPrintable(sub, maxSubjectBytes)) {
      throw invalid(`The "sub" of the token must be 1 to ${maxSubjectBytes} bytes without control characters.`);
    }
    if (sub.startsWith(apiKeySubjectPrefix))
      throw invalid(`The "sub" of the token must not begin with "${apiKeySubjectPrefix}".`);
    if (jti !== undefined && !isPrintable(jti, maxTokenIdBytes)) {
      throw invalid(`The "jti" of the token must be 1 to ${maxTokenIdBytes} bytes without control characters.`);
    }
    // RFC 7519 section 4.1.3: a token for another audience must be rejected.
    if (audience === null && aud !== undefined)
      throw invalid('The token has an audience ("aud"), but its issuer is configured without one.');
    // Revoking a subject revokes tokens issued before: a token from the future would remain valid.
    if (iat !== undefined && iat > nowSeconds + clockSkewSeconds)
      throw invalid('The "iat" of the token is in the future.');
    if (exp - (iat ?? nowSeconds) > maxLifetimeSeconds) {
      throw invalid(`The lifetime of the token exceeds the maximum of ${maxLifetimeSeconds} s.`);
    }
    return {
      issuer: this.issuer,
      subject: sub,
      signedWith,
      tokenId: jti ?? null,
      issuedAtMs: iat === undefined ? null : (iat - clockSkewSeconds) * 1_000,
      expiresAtMs: exp * 1_000,
      acceptedUntilMs: (exp + clockSkewSeconds) * 1_000,
      permissions: new Permissions(grantsOf(payload[grantsClaim])),
      isService: false,
      messageIdGroup: null,
      isAdmin: false,
    };
  }
}

function grantsOf(claim: unknown): Grants {
  if (claim === undefined) return {};
  return readGrants(claim, (wrong) => {
    throw invalid(`Invalid permissions in the claim "${grantsClaim}": ${wrong}`);
  });
}

/**
 * Refuses control characters, line breaks, and characters that hide or reorder others, because they make one name look
 * like another. Lone surrogates would all become U+FFFD in UTF-8, so that two names could become one.
 */
function isPrintable(text: unknown, mostBytes: number): text is string {
  return (
    typeof text === 'string' &&
    text !== '' &&
    Buffer.byteLength(text) <= mostBytes &&
    !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text)
  );
}

function readUnverified<Value>(read: () => Value): Value {
  try {
    return read();
  } catch {
    throw invalid('The token is not a signed JWT.');
  }
}

function invalid(message: string): AuthError {
  return new AuthError('invalidToken', message);
}
