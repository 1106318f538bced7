/** Reads the text files that settings name: passwords, keys, certificates, JSON. */
import { readFileSync } from 'node:fs';

/**
 * The file cannot be used. The message continues "…, which cannot be read: ". It repeats neither the path nor the
 * content: a secret in place of the path must not appear in the log.
 */
class TextFileError extends Error {
  override readonly name = 'TextFileError';
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no file at this path',
  ENOTDIR: 'there is no file at this path',
  EISDIR: 'it is a directory',
  EACCES: 'the user of the node has no permission to read it',
  ENAMETOOLONG: 'its path is too long; give the path, not the content',
};

/** Throws {@link TextFileError} if the file cannot be read or is not plain UTF-8. */
export function readTextFile(path: string): string {
  const bytes = readBytes(path);
  const mark = bytes.toString('latin1', 0, 3);
  // Windows editors write it. It would become part of a password, and makes JSON and PEM invalid.
  if (mark === '\xef\xbb\xbf' || mark.startsWith('\xff\xfe') || mark.startsWith('\xfe\xff'))
    throw new TextFileError('it begins with a byte order mark (BOM); save it as UTF-8 without BOM');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new TextFileError('it is not UTF-8 text; store binary secrets in base64, keys and certificates in PEM');
  }
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new TextFileError(reasons[code] === undefined ? `error ${code}` : `${reasons[code]} (${code})`);
  }
}
