/** API keys of backend services: `fk_<id>_<secret>`. The node knows only their hashes. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { nanoid } from 'nanoid';
import type { ApiKey } from './auth-config.js';
import type { Identity } from './identity.js';

/** Every API key begins with this; no JWT does. */
export const apiKeyPrefix = 'fk_';

/** The subject of every API key begins with this; no subject of a JWT does. */
export const apiKeySubjectPrefix = 'key:';

/** 258 random bits, so a fast hash is sufficient. */
const secretLength = 43;

/** Compared if there is no such key, so that the time is the same. */
const noHash = Buffer.alloc(32);

export class ApiKeys {
  readonly #keys: ReadonlyMap<string, ApiKey>;

  constructor(keys: readonly ApiKey[]) {
    this.#keys = new Map(keys.map((key) => [key.id, key]));
  }

  /**
   * The new keys. Unchanged keys remain the same objects, because connections are compared with them ({@link accepts}).
   */
  replacedBy(keys: readonly ApiKey[]): ApiKeys {
    return new ApiKeys(
      keys.map((key) => {
        const known = this.#keys.get(key.id);
        return known !== undefined && isSame(known, key) ? known : key;
      }),
    );
  }

  /** Whether one of the keys has this subject. */
  has(subject: string): boolean {
    return subject.startsWith(apiKeySubjectPrefix) && this.#keys.has(subject.slice(apiKeySubjectPrefix.length));
  }

  /** What identifies the key with this subject; null if there is none. */
  secretOf(subject: string): Buffer | null {
    return this.#keys.get(subject.slice(apiKeySubjectPrefix.length))?.hash ?? null;
  }

  /** Whether the key of the service still exists, unchanged. */
  accepts({ subject, permissions }: Identity): boolean {
    return this.#keys.get(subject.slice(apiKeySubjectPrefix.length))?.permissions === permissions;
  }

  /** The service with this key; null if there is none. Costs one hash. */
  find(token: string): Identity | null {
    if (!token.startsWith(apiKeyPrefix)) return null;
    const [, id = ''] = token.split('_', 2);
    const key = this.#keys.get(id);
    const isMatch = timingSafeEqual(hashOf(token), key?.hash ?? noHash);
    return key === undefined || !isMatch ? null : this.#identityOf(key);
  }

  /** The service with this subject; null if there is none. The caller has checked who it is. */
  named(subject: string): Identity | null {
    const key = this.has(subject) ? this.#keys.get(subject.slice(apiKeySubjectPrefix.length)) : undefined;
    return key === undefined ? null : this.#identityOf(key);
  }

  #identityOf(key: ApiKey): Identity {
    return {
      issuer: null,
      subject: apiKeySubjectPrefix + key.id,
      signedWith: null,
      tokenId: null,
      issuedAtMs: null,
      expiresAtMs: null,
      acceptedUntilMs: null,
      permissions: key.permissions,
      isService: true,
      messageIdGroup: key.messageIdGroup,
      isAdmin: key.isAdmin,
    };
  }
}

function isSame({ permissions: _, ...one }: ApiKey, { permissions: __, ...other }: ApiKey): boolean {
  return isDeepStrictEqual(one, other);
}

/** Whether a key can have this name. */
export function isApiKeyId(id: string): boolean {
  return /^[A-Za-z0-9-]{1,64}$/.test(id);
}

/** A new key, and its entry for FANFARE_AUTH. */
export function createApiKey(id: string): { readonly key: string; readonly entry: object } {
  const key = `${apiKeyPrefix}${id}_${nanoid(secretLength)}`;
  return { key, entry: { id, sha256: hashOf(key).toString('hex'), permissions: {} } };
}

function hashOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
