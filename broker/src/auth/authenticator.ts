import { PeerError } from '@fanfare/protocol';
import type { Log } from '../log.js';
import type { Identity } from './identity.js';

export class AuthError extends PeerError {
  constructor(
    readonly code: 'invalidToken' | 'tokenExpired' | 'unavailable',
    message: string,
  ) {
    super(message);
  }
}

export interface Authenticator {
  /** Throws {@link AuthError}. */
  authenticate(token: string): Promise<Identity>;
  close(): void;
}

/** Null where nobody is asked who he is. */
export function createAuthenticator(_auth: unknown, _log: Log): Authenticator | null {
  return null;
}
