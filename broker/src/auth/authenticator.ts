/** Says who a token belongs to. */
import type { Log } from '../log.js';
import { ApiKeys, apiKeyPrefix } from './api-keys.js';
import type { AuthConfig } from './auth-config.js';
import { AuthError } from './auth-error.js';
import type { Identity } from './identity.js';
import { type JwksCounters, JwksKeys } from './jwks.js';
import { JwtVerifier, type KeySource, LocalKeys } from './jwt.js';

export interface Authenticator {
  /** The service that has this API key; null if the token is no API key of this node. Costs one hash. */
  serviceOf(token: string): Identity | null;
  /** Rejects with {@link AuthError}: `unavailable` where the keys of its issuer cannot be had now. */
  authenticate(token: string): Promise<Identity>;
  /** Whether the key that signed its token is still one of its issuer. */
  accepts(identity: Identity): boolean;
  close(): void;
}

/** `onKeysRemoved`: an issuer has taken back keys, and {@link Authenticator.accepts} answers otherwise than before. */
export function createAuthenticator(
  { issuers, apiKeys }: AuthConfig,
  log: Log,
  counters: JwksCounters,
  onKeysRemoved: () => void,
): Authenticator {
  const published: JwksKeys[] = [];
  const verifiers = issuers.map((issuer, index) => {
    const sources: KeySource[] = [new LocalKeys(issuer.keys)];
    if (issuer.jwksUrl !== null) {
      const { jwksUrl, algorithms } = issuer;
      const keys = new JwksKeys({ jwksUrl, algorithms, place: `issuers[${index}]` }, log, counters, onKeysRemoved);
      published.push(keys);
      sources.push(keys);
    }
    return new JwtVerifier(issuer, sources);
  });
  const byIssuer = new Map(verifiers.map((verifier) => [verifier.issuer, verifier]));
  const keys = new ApiKeys(apiKeys);
  return {
    serviceOf: (token) => keys.find(token),
    async authenticate(token) {
      const service = keys.find(token);
      if (service !== null) return service;
      if (token.startsWith(apiKeyPrefix)) throw new AuthError('invalidToken', 'There is no such API key.');
      if (byIssuer.size === 0) throw new AuthError('invalidToken', 'This node takes API keys only.');
      const verifier = byIssuer.get(JwtVerifier.issuerOf(token));
      if (verifier === undefined) throw new AuthError('invalidToken', 'The token is of no issuer that is known here.');
      return verifier.verify(token);
    },
    accepts({ issuer, signedWith }) {
      return signedWith === null || byIssuer.get(issuer ?? '')?.accepts(signedWith) === true;
    },
    close() {
      for (const source of published) source.close();
    },
  };
}
