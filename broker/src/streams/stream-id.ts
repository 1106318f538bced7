/**
 * The id of an event: the positions of all topics of its stream, in the order of the URL, and perhaps a credential.
 * Browsers send it back as `Last-Event-ID`.
 */
import { type Position, parsePositionsText } from '@fanfare/protocol';

/** What separates the credential: neither positions nor base64url have it. */
export const credentialMark = '~';

export interface StreamId {
  readonly positions: readonly (Position | null)[];
  /** Null if the id has none. */
  readonly credential: string | null;
}

/** Null if the text is no id of an event. */
export function parseStreamId(text: string): StreamId | null {
  const at = text.indexOf(credentialMark);
  const positions = parsePositionsText(at < 0 ? text : text.slice(0, at));
  return positions === null ? null : { positions, credential: at < 0 ? null : text.slice(at + 1) };
}
