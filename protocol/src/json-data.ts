/** Writes data as JSON without loss: values that `JSON.stringify` would change without an error are rejected. */

/** Throws a `TypeError` for data that JSON cannot represent, including a loop. */
export function writeJsonData(data: unknown): string {
  // Call it first: it detects loops.
  const text = JSON.stringify(data);
  if (text === undefined) throw new TypeError(`JSON cannot carry data: ${typeof data}.`);
  const lost = isObject(data) ? findLost(data) : null;
  if (lost !== null) {
    const { path, kind } = lost;
    throw new TypeError(
      `JSON cannot carry data${path}: ${kind}. Convert it first; MessagePack carries dates, bytes and maps.`,
    );
  }
  return text;
}

interface Lost {
  readonly path: string;
  readonly kind: string;
}

/** The first value that is not plain data. Plain data are arrays, objects with fields, and objects with `toJSON`. */
function findLost(value: object): Lost | null {
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const element: unknown = value[index];
      const lost = isObject(element) ? findLost(element) : null;
      if (lost !== null) return { path: `[${index}]${lost.path}`, kind: lost.kind };
    }
    return null;
  }
  const prototype = Object.getPrototypeOf(value);
  const kind = prototype === Object.prototype || prototype === null ? 'Object' : kindOf(value);
  // Dates and Node's bytes have toJSON, but would arrive as text and as an object.
  if (kind === 'Date' || ArrayBuffer.isView(value)) return { path: '', kind };
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return null;
  const names = Object.keys(value);
  // Built-in objects keep their content in internal slots: a map would become {}.
  if (kind !== 'Object' && names.length === 0) return { path: '', kind };
  for (const name of names) {
    const field = (value as Record<string, unknown>)[name];
    const lost = isObject(field) ? findLost(field) : null;
    if (lost !== null) return { path: `.${name}${lost.path}`, kind: lost.kind };
  }
  return null;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** The class, such as `Map`, even if the object is from another window. */
export function kindOf(value: object): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}
