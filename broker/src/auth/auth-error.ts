import { PeerError } from '@fanfare/protocol';

/** A token is not accepted. The message is for the client, and contains no part of the token or of a key. */
export class AuthError extends PeerError {
  override readonly name = 'AuthError';
  constructor(
    readonly code: 'invalidToken' | 'tokenExpired' | 'unavailable',
    message: string,
  ) {
    super(message);
  }
}
