/**
 * Single-use tickets, for clients that can only set a URL. A client gets one for its token, and opens one connection
 * with it within 30 s. The store contains no ticket and no token in clear text. The name is a hash of the ticket. The
 * value is the token, encrypted with the ticket.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { AuthError } from './auth-error.js';
import type { AuthStore } from './auth-store.js';

export const ticketLifetimeMs = 30_000;

const ticketBytes = 32;
const algorithm = 'aes-256-gcm';
/** Each ticket, and so each key, is used once: the nonce can be constant. */
const nonce = Buffer.alloc(12);
const tagBytes = 16;

/** Whether the text has the form of a ticket. */
export function isTicket(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text);
}

export class Tickets {
  constructor(private readonly store: AuthStore) {}

  /** Creates a ticket for a valid token. Rejects with {@link AuthError} if it cannot be stored. */
  async issue(token: string): Promise<string> {
    const ticket = randomBytes(ticketBytes);
    const cipher = createCipheriv(algorithm, keyOf(ticket), nonce);
    const sealed = Buffer.concat([cipher.update(token, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    await this.store.keep(nameOf(ticket), sealed.toString('base64'), ticketLifetimeMs);
    return ticket.toString('base64url');
  }

  /**
   * Returns the token of a ticket, which can then not be used again. Rejects with {@link AuthError} if the ticket does not exist.
   */
  async redeem(text: string): Promise<string> {
    const ticket = Buffer.from(text, 'base64url');
    const value = isTicket(text) ? await this.store.take(nameOf(ticket)) : null;
    if (value === null) throw new AuthError('invalidToken', 'The ticket is unknown, already used, or older than 30 s.');
    return unseal(value, ticket);
  }
}

function unseal(value: string, ticket: Buffer): string {
  const sealed = Buffer.from(value, 'base64');
  try {
    const decipher = createDecipheriv(algorithm, keyOf(ticket), nonce).setAuthTag(sealed.subarray(-tagBytes));
    return decipher.update(sealed.subarray(0, -tagBytes), undefined, 'utf8') + decipher.final('utf8');
  } catch {
    // Another program has written it.
    throw new AuthError('invalidToken', 'The ticket was not issued by this broker.');
  }
}

function keyOf(ticket: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', ticket, '', 'fanfare ticket', 32));
}

function nameOf(ticket: Buffer): string {
  return createHash('sha256').update(ticket).digest('hex');
}
