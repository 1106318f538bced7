/** Requests to servers that are trusted to answer, not to answer well. */
import { text as readText } from 'node:stream/consumers';

/** What was answered cannot be used. The message goes on from who answered: "answered …". */
export class AnswerError extends Error {
  override readonly name = 'AnswerError';
}

/** The body of an answer as text. Rejects where it is longer than `most` bytes: what comes behind is not read. */
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

/** Why a request failed, to go on from who failed. Repeats no message of `fetch`: some quote a header, which may be a token. */
export function explainFailure(error: unknown): string {
  if (error instanceof AnswerError) return error.message;
  const { name, cause } = error as Error & { cause?: { code?: string } };
  if (name === 'TimeoutError') return 'did not answer in time';
  if (name === 'SyntaxError') return 'returned something that is not JSON';
  return `cannot be reached (${cause?.code ?? name})`;
}
