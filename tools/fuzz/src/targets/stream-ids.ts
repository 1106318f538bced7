/** The ids of events, which clients send back as `Last-Event-ID`, and the credentials in them. */
import { AuthError } from '@fanfare/broker/internal/auth/auth-error';
import { Permissions } from '@fanfare/broker/internal/auth/permissions';
import { StreamCredentials } from '@fanfare/broker/internal/auth/stream-credentials';
import { parseStreamId } from '@fanfare/broker/internal/streams/stream-id';
import { isEpoch, positionText, type Topic } from '@fanfare/protocol';
import { Finding, hold, holdEqual, holdSentence, list, type Target, textOf, texts } from '../target.js';

const key = Buffer.alloc(32, 7);
const signedWith = { algorithm: 'HS256', kid: null, key } as const;
const credentials = new StreamCredentials({ clusterKeys: async () => [key] }, {
  keyNameOf: () => Buffer.alloc(8, 1),
  findKey: async () => ({ issuer: 'https://id.example', clockSkewSeconds: 5, signedWith }),
} as ConstructorParameters<typeof StreamCredentials>[1]);
const topics = ['orders.1', 'orders.2'] as unknown as readonly Topic[];
const others = ['orders.1', 'orders.3'] as unknown as readonly Topic[];

/** The longest subject of a token. */
const maxSubjectBytes = 512;

export const streamId: Target = {
  about: 'ids of events, and their credentials',
  seeds: texts(
    '1764563000000000-42',
    '1764563000000000-42.e-0.*',
    'now.a-b-7',
    '1764563000000000-42~AQEBAQEBAQEB',
    'e-01.e--1.e-9007199254740993',
  ),
  words: list('. - ~ * now 0 9007199254740991 1764563000000000-42 AQEB'),
  files: ['broker/dist/streams/stream-id', 'broker/dist/auth/stream-credentials', 'protocol/dist/position-text'],
  maxBytes: 4_096,
  async run(input) {
    const text = textOf(input);
    const id = parseStreamId(text);
    if (id !== null) {
      const written = id.positions.map((position) => (position === 'now' ? position : positionText(position)));
      holdEqual(written.join('.'), text.split('~')[0], 'the positions');
      for (const position of id.positions) {
        if (position === null || position === 'now') continue;
        hold(isEpoch(position.epoch), () => `The epoch is ${JSON.stringify(position.epoch)}.`);
        hold(Number.isSafeInteger(position.offset), () => `The offset is ${position.offset}.`);
      }
      if (id.credential !== null) await holdRefused(id.credential, topics);
    }
    const subject = text.slice(0, 100);
    // UTF-8 has no halves of surrogate pairs.
    if (subject === '' || /\p{Cs}/u.test(subject) || Buffer.byteLength(subject) > maxSubjectBytes) return;
    await holdSealed(subject, input);
  },
};

/** A sealed credential names the same subject again, and any change makes it invalid. */
async function holdSealed(subject: string, input: Uint8Array): Promise<void> {
  const identity = {
    ...{ issuer: 'https://id.example', subject, signedWith, tokenId: null, issuedAtMs: 1, expiresAtMs: null },
    ...{ acceptedUntilMs: null, permissions: new Permissions({}), isService: false, messageIdGroup: null },
    isAdmin: false,
  };
  const sealed = await credentials.seal(identity, 'c-1', topics);
  const opened = await credentials.open(sealed, topics);
  holdEqual([opened.identity.subject, opened.connection], [subject, 'c-1'], 'who resumes');
  hold(!opened.identity.isAdmin && !opened.identity.isService, () => 'It grants more than a stream.');
  await holdRefused(sealed, others);
  const bytes = Buffer.from(sealed, 'base64url');
  const at = (input.length * 31 + (input[0] ?? 0)) % bytes.length;
  bytes[at] = (bytes[at] as number) ^ (1 << (input.length & 7));
  await holdRefused(bytes.toString('base64url'), topics);
}

async function holdRefused(credential: string, of: readonly Topic[]): Promise<void> {
  try {
    await credentials.open(credential, of);
  } catch (error) {
    if (!(error instanceof AuthError)) throw error;
    return holdSentence(error.message);
  }
  throw new Finding('A credential that no node made is accepted.');
}
