/** Reads the text files that settings name: passwords, keys, certificates, JSON. */
import { readFileSync } from 'node:fs';

/** The file is there, but its content cannot be used. The message continues "…, which cannot be read: ". */
export class TextFileError extends Error {
  override readonly name = 'TextFileError';
}

/** Throws {@link TextFileError} for content that is no plain UTF-8, and the system's error if there is no such file. */
export function readTextFile(path: string): string {
  const bytes = readFileSync(path);
  const mark = bytes.toString('latin1', 0, 3);
  // Windows editors write it. Kept, it would be the first character of a password; to JSON and PEM it is an error.
  if (mark === '\xef\xbb\xbf' || mark.startsWith('\xff\xfe') || mark.startsWith('\xfe\xff'))
    throw new TextFileError('it begins with a byte order mark (BOM): save it as UTF-8 without BOM');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new TextFileError('it is not UTF-8 text: write binary secrets in base64, keys and certificates in PEM');
  }
}
