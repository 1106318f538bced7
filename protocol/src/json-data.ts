/** Writes data as JSON without loss: values that `JSON.stringify` would change without an error are rejected. */

/** Throws a `TypeError` for data that JSON cannot represent, including a loop. */
export function writeJsonData(data: unknown): string {
  // Call it first: it detects loops.
  const text = JSON.stringify(data);
  if (text === undefined) throw new TypeError(`JSON cannot carry data: ${typeof data}.`);
  const lost = findLost(data);
  if (lost === null) return text;
  throw new TypeError(`JSON cannot carry data${lost}. Convert it first; MessagePack carries dates, bytes and maps.`);
}

/**
 * The path and the class of the first value that is not plain data, such as `.at: Date`; null if all is plain. Plain
 * data are arrays, objects with fields, and objects with `toJSON`.
 */
function findLost(value: unknown): string | null {
  if (typeof value !== 'object' || value === null) return null;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const lost = findLost(value[index]);
      if (lost !== null) return `[${index}]${lost}`;
    }
    return null;
  }
  const prototype = Object.getPrototypeOf(value);
  const kind = prototype === Object.prototype || prototype === null ? 'Object' : kindOf(value);
  // Dates and Node's bytes have toJSON, but would arrive as text and as an object.
  if (kind === 'Date' || ArrayBuffer.isView(value)) return `: ${kind}`;
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return null;
  const names = Object.keys(value);
  // Built-in objects keep their content in internal slots: a map would become {}.
  if (kind !== 'Object' && names.length === 0) return `: ${kind}`;
  for (const name of names) {
    const lost = findLost((value as Record<string, unknown>)[name]);
    if (lost !== null) return `.${name}${lost}`;
  }
  return null;
}

/** The class, such as `Map`, even if the object is from another window. */
export function kindOf(value: object): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}
