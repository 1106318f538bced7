/**
 * Positions as text, for places where only text fits: URLs, headers and the ids of events. A position is
 * `<epoch>-<offset>`, and `*` stands for a topic that keeps no history. Several positions are joined with `.`.
 */
import { isEpoch, type Position } from './position.js';

/** The text of a topic that keeps no history. */
const noPosition = '*';

const separator = '.';

const offsetGrammar = /^(?:0|[1-9][0-9]{0,15})$/;

/** `position`: null if the topic keeps no history. */
export function positionText(position: Position | null): string {
  return position === null ? noPosition : `${position.epoch}-${position.offset}`;
}

/** The position in the text; null for `*`. `wrong`: the text is no position. */
export function parsePositionText(text: string): Position | null | 'wrong' {
  if (text === noPosition) return null;
  // An epoch may contain the separator too: the last one separates.
  const at = text.lastIndexOf('-');
  const epoch = text.slice(0, Math.max(0, at));
  const digits = text.slice(at + 1);
  const offset = Number(digits);
  if (!isEpoch(epoch) || !offsetGrammar.test(digits) || !Number.isSafeInteger(offset)) return 'wrong';
  return { epoch, offset };
}

/** The positions of several topics, in the order of the topics. */
export function positionsText(positions: readonly (Position | null)[]): string {
  return positions.map(positionText).join(separator);
}

/** The positions in the text, at least one; null if it has anything else. */
export function parsePositionsText(text: string): readonly (Position | null)[] | null {
  const positions: (Position | null)[] = [];
  for (const part of text.split(separator)) {
    const position = parsePositionText(part);
    if (position === 'wrong') return null;
    positions.push(position);
  }
  return positions;
}
