/** The response of uWebSockets, as this folder needs it. Any call after its end, or after an abort, throws. */
export interface StreamResponse {
  cork(write: () => void): unknown;
  /** Sends one chunk. Returns false if not everything fit into the kernel: then wait for `onWritable`. */
  write(chunk: string | Uint8Array): boolean;
  onWritable(handler: () => boolean): unknown;
  onAborted(handler: () => void): unknown;
  /** Also restarts the timeout of uWebSockets, whether the socket is paused or not. */
  resume(): void;
  end(chunk?: string, closeConnection?: boolean): unknown;
  /** Drops the connection. */
  close(): unknown;
}
