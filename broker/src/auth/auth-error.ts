import { PeerError } from '@fanfare/protocol';

/** Why a token is not accepted; the message is for the client, and holds nothing of the token or of a key. */
export class AuthError extends PeerError {
  override readonly name = 'AuthError';
  constructor(
    readonly code: 'invalidToken' | 'tokenExpired' | 'unavailable',
    message: string,
  ) {
    super(message);
  }
}
