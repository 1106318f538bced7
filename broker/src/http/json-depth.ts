/** Refuses deeply nested JSON before it is parsed: V8 takes up to half a microsecond for each level, which blocks the node. */
import { maxDataDepth } from '@fanfare/protocol';

const [quote, backslash] = [0x22, 0x5c];
const [openArray, closeArray, openObject, closeObject] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Levels around the data of a batch or of commands, and one more, so that the data itself is named in the error. */
const outerLevels = 4;

/** Fewer opening brackets cost little, however they are nested. Most batches have fewer, and need no other check. */
const harmlessBrackets = 1_000;

/** Whether the text is nested deeper than any valid request, and so deep that it costs much. It need not be valid JSON. */
export function isTooDeep(text: Uint8Array): boolean {
  if (text.length < harmlessBrackets || !hasManyBrackets(text)) return false;
  let depth = 0;
  let isInString = false;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (isInString) {
      if (byte === backslash) at++;
      else if (byte === quote) isInString = false;
    } else if (byte === quote) isInString = true;
    else if (byte === openArray || byte === openObject) {
      if (++depth > maxDataDepth + outerLevels) return true;
    } else if (byte === closeArray || byte === closeObject) depth--;
  }
  return false;
}

/** Much cheaper than to read each byte. */
function hasManyBrackets(text: Uint8Array): boolean {
  let left = harmlessBrackets;
  for (const bracket of [openArray, openObject]) {
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) if (--left === 0) return true;
  }
  return false;
}
