/** The response of uWebSockets, as this folder needs it. Any call after its end, or after an abort, throws. */
export interface StreamResponse {
  cork(write: () => void): unknown;
  /** Sends one chunk. Returns false if not everything fit into the kernel: then wait for `onWritable`. */
  write(chunk: string | Uint8Array): boolean;
  onWritable(handler: () => boolean): unknown;
  onAborted(handler: () => void): unknown;
  /** Stops reading from the socket, and the timeout of uWebSockets, until `resume`. */
  pause(): void;
  resume(): void;
  end(chunk?: string): unknown;
  /** Drops the connection. */
  close(): unknown;
}
