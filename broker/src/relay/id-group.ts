/** MessageIds of a run as the Lua scripts take them (lua/message-ids.lua): most have the same beginning. */

/** MessageIds that differ only in their last character, of publications that follow each other in the run. */
export interface IdGroup {
  /** What they begin with. */
  readonly stem: string;
  readonly lastCharacters: string;
  /** The place of the first publication in the run, counted from 0. */
  readonly place: number;
}

/** The number of parts of a group among the arguments of a script. */
export const partsPerIdGroup = 3;

const noGroups: readonly IdGroup[] = [];

/** `ids`: messageIds with their places in the run, in order. The groups have them in the same order. */
export function groupIds(ids: ReadonlyMap<string, number>): readonly IdGroup[] {
  if (ids.size === 0) return noGroups;
  const groups: IdGroup[] = [];
  let stem = '';
  let lastCharacters = '';
  let start = 0;
  for (const [id, place] of ids) {
    const isNext = id.length === stem.length + 1 && place === start + lastCharacters.length && id.startsWith(stem);
    if (!isNext) {
      if (lastCharacters !== '') groups.push({ stem, lastCharacters, place: start });
      stem = id.slice(0, -1);
      lastCharacters = '';
      start = place;
    }
    lastCharacters += id.slice(-1);
  }
  groups.push({ stem, lastCharacters, place: start });
  return groups;
}

/** The arguments of a script for these groups: how many there are, then each. */
export function idGroupArgs(groups: readonly IdGroup[]): (string | number)[] {
  return [groups.length, ...groups.flatMap(({ stem, lastCharacters, place }) => [stem, lastCharacters, place])];
}
