/**
 * The id of an event: the positions of all topics of its stream, in the order of the URL, and perhaps a credential.
 * Browsers send it back as `Last-Event-ID`.
 */
import { parsePositionText } from '@fanfare/protocol';
import type { Since } from './stream-context.js';

/** What separates the credential: neither positions nor base64url have it. */
const credentialMark = '~';

/** The text of a topic that the client adds to its stream, so that the topic has no position yet. */
const now = 'now';

export interface StreamId {
  readonly positions: readonly Since[];
  /** Null if the id has none. */
  readonly credential: string | null;
}

/** Null if the text is no id of an event. */
export function parseStreamId(text: string): StreamId | null {
  const at = text.indexOf(credentialMark);
  const positions: Since[] = [];
  for (const part of (at < 0 ? text : text.slice(0, at)).split('.')) {
    const position = part === now ? now : parsePositionText(part);
    if (position === 'wrong') return null;
    positions.push(position);
  }
  return { positions, credential: at < 0 ? null : text.slice(at + 1) };
}
