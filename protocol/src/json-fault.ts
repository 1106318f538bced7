/** What `JSON.parse` says of a text that is none, on one line: it quotes what it read. */
export function jsonFault(error: unknown): string {
  return (error as Error).message.replace(/\p{Cc}+/gu, ' ');
}
