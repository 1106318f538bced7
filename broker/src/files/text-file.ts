/** Reads the text files that settings name: passwords, keys, certificates, JSON. */
import { readFileSync } from 'node:fs';

/**
 * The file cannot be used. The message continues "…, which cannot be read: ". It shows neither the path nor the content: whoever puts a secret
 * where its path belongs would find it in the log.
 */
export class TextFileError extends Error {
  override readonly name = 'TextFileError';
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no file at this path',
  ENOTDIR: 'there is no file at this path',
  EISDIR: 'it is a directory',
  EACCES: 'the user of the node has no permission to read it',
  ENAMETOOLONG: 'its path is too long; give the path, not the content',
};

/** Throws {@link TextFileError} if there is no such file, or its content is no plain UTF-8. */
export function readTextFile(path: string): string {
  const bytes = readBytes(path);
  const mark = bytes.toString('latin1', 0, 3);
  // Windows editors write it. Kept, it would be the first character of a password; to JSON and PEM it is an error.
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
