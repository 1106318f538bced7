/** Reads HTTP answers, which may be wrong or too long. */
import { text as readText } from 'node:stream/consumers';

/** The answer cannot be used. The message continues after the name of the server: "returned …". */
export class AnswerError extends Error {
  override readonly name = 'AnswerError';
}

/** The body of an answer as text. Rejects if it is longer than `most` bytes, and reads no further. */
export function readBody(response: Response, most: number): Promise<string> {
  return readText(atMost(response.body ?? [], most));
}

async function* atMost(
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  most: number,
): AsyncIterable<Uint8Array> {
  let length = 0;
  for await (const piece of pieces) {
    length += piece.length;
    if (length > most) throw new AnswerError(`returned more than ${most} bytes`);
    yield piece;
  }
}

/**
 * Why a request failed, to continue after the name of the server. Never repeats a message of `fetch`: it may quote a
 * token.
 */
export function explainFailure(error: unknown): string {
  if (error instanceof AnswerError) return error.message;
  const { name, cause } = error as Error & { cause?: { code?: string } };
  if (name === 'TimeoutError') return 'did not answer in time';
  if (name === 'SyntaxError') return 'returned something that is not JSON';
  return `cannot be reached (${cause?.code ?? name})`;
}
