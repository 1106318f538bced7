/** Requests to servers that are trusted to answer, not to answer well. */
import { text as readText } from 'node:stream/consumers';

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
    if (length > most) throw new Error(`answered more than ${most} bytes`);
    yield piece;
  }
}

/** Why a request failed, to go on from who failed. What `fetch` says of its failure stands in its cause. */
export function explainFailure(error: unknown): string {
  const { name, message, cause } = error as Error & { cause?: { code?: string; message?: string } };
  if (name === 'TimeoutError') return 'did not answer in time';
  if (name === 'SyntaxError') return 'answered something that is not JSON';
  if (cause !== undefined) return `cannot be reached (${cause.code ?? cause.message ?? message})`;
  return message;
}
