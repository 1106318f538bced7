/**
 * Credentials in the ids of event streams. A browser reconnects with the URL that it has, and a ticket in it is used up
 * by then. So the id of each event proves who the stream belongs to: until the token expires, at any node, for the same
 * topics. It contains no token. Revocations and removed keys end it too.
 *
 *     byte 0       version of this layout, 1
 *     byte 1..8    which key signed the token, or which API key it is (Authenticator.keyNameOf)
 *     byte 9..14   when the token was issued, in milliseconds since the epoch; all ones if it does not say
 *     byte 15..20  when it expires, the same
 *     then the subject, the id of the token, the name of the connection: 2 bytes of length each, UTF-8
 *     16 bytes     HMAC-SHA256 of everything before it and of the topics, cut off
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Topic } from '@fanfare/protocol';
import { AuthError } from './auth-error.js';
import type { AuthStore } from './auth-store.js';
import type { Authenticator } from './authenticator.js';
import type { Identity } from './identity.js';
import { Permissions } from './permissions.js';

const layoutVersion = 1;
const headBytes = 21;
const macBytes = 16;
const none = 2 ** 48 - 1;
/** Length of a missing text. */
const noText = 0xffff;

/** Who resumes a stream. */
interface Resumed {
  readonly identity: Identity;
  /** The name of the connection: it stays the same, so that revoking it ends the stream for good. */
  readonly connection: string;
}

export class StreamCredentials {
  constructor(
    private readonly store: Pick<AuthStore, 'clusterKeys'>,
    private readonly authenticator: Pick<Authenticator, 'keyNameOf' | 'findKey'>,
  ) {}

  /** Rejects with {@link AuthError} `unavailable`. */
  async seal(identity: Identity, connection: string, topics: readonly Topic[]): Promise<string> {
    const [key] = await this.store.clusterKeys();
    const { subject, tokenId, issuedAtMs, expiresAtMs } = identity;
    const head = Buffer.alloc(headBytes);
    head[0] = layoutVersion;
    head.set(this.authenticator.keyNameOf(identity, key), 1);
    head.writeUIntBE(issuedAtMs ?? none, 9, 6);
    head.writeUIntBE(expiresAtMs ?? none, 15, 6);
    const body = Buffer.concat([head, ...[subject, tokenId, connection].map(textBytes)]);
    return Buffer.concat([body, macOf(key, body, topics)]).toString('base64url');
  }

  /**
   * Whose credential it is. Rejects with {@link AuthError} if it is not valid for these topics. Expiry is checked here;
   * revocations are not.
   */
  async open(text: string, topics: readonly Topic[]): Promise<Resumed> {
    const bytes = Buffer.from(text, 'base64url');
    const body = bytes.subarray(0, -macBytes);
    if (bytes.length < headBytes + macBytes || body[0] !== layoutVersion) throw invalid();
    const mac = bytes.subarray(-macBytes);
    const key = (await this.store.clusterKeys()).find((known) => timingSafeEqual(macOf(known, body, topics), mac));
    if (key === undefined) throw invalid();
    const [issuedAtMs, expiresAtMs] = [body.readUIntBE(9, 6), body.readUIntBE(15, 6)].map((ms) =>
      ms === none ? null : ms,
    ) as [number | null, number | null];
    const [subject, tokenId, connection] = readTexts(body.subarray(headBytes));
    if (subject == null || tokenId === undefined || connection == null) throw invalid();
    const found = await this.authenticator.findKey(body.subarray(1, 9), subject, key);
    if (found === null) throw new AuthError('invalidToken', 'The issuer has removed the key that signed the token.');
    if ('identity' in found) return { identity: found.identity, connection };
    const { issuer, clockSkewSeconds, signedWith } = found;
    const acceptedUntilMs = expiresAtMs === null ? null : expiresAtMs + clockSkewSeconds * 1_000;
    if (acceptedUntilMs !== null && Date.now() >= acceptedUntilMs)
      throw new AuthError('tokenExpired', 'The token of the stream has expired.');
    return {
      connection,
      identity: {
        issuer,
        subject,
        signedWith,
        tokenId,
        issuedAtMs,
        expiresAtMs,
        acceptedUntilMs,
        // The first node checked the token for these topics.
        permissions: new Permissions({ subscribe: topics }),
        isService: false,
        messageIdGroup: null,
        isAdmin: false,
      },
    };
  }
}

function macOf(key: Buffer, body: Uint8Array, topics: readonly Topic[]): Buffer {
  // The body says how long it is, and no topic has a line break.
  const mac = createHmac('sha256', key).update(`stream ${body.length}\n`).update(body).update(topics.join('\n'));
  return mac.digest().subarray(0, macBytes);
}

function textBytes(text: string | null): Buffer {
  const length = Buffer.alloc(2);
  if (text === null) {
    length.writeUInt16BE(noText);
    return length;
  }
  const bytes = Buffer.from(text);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** The texts, null for a missing one. The MAC was checked, so a node has written them. */
function readTexts(bytes: Buffer): readonly (string | null)[] {
  const texts: (string | null)[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const length = bytes.readUInt16BE(at);
    at += 2;
    if (length === noText) texts.push(null);
    else {
      texts.push(bytes.toString('utf8', at, at + length));
      at += length;
    }
  }
  return texts;
}

function invalid(): AuthError {
  return new AuthError('invalidToken', 'The id of the event was not made by this broker for a stream of these topics.');
}
