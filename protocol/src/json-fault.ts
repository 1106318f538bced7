/** The error of `JSON.parse` on one line. It quotes the text. */
export function jsonFault(error: unknown): string {
  return (error as Error).message.replace(/\p{Cc}+/gu, ' ');
}
