/**
 * Memory for many small pieces that are kept for about the same time. It uses a few large buffers instead of one per
 * piece.
 */

/** Size of a buffer, in bytes. It is freed when none of its pieces is in use. */
const segmentBytes = 65_536;
/** A larger piece gets a buffer of its own. */
const maxPieceBytes = 16_384;

export class Segments {
  #segment = new ArrayBuffer(0);
  #used = 0;

  /** A piece of memory with any content. */
  take(length: number): Buffer {
    if (length > maxPieceBytes) return Buffer.allocUnsafeSlow(length);
    if (this.#used + length > this.#segment.byteLength) {
      this.#segment = Buffer.allocUnsafeSlow(segmentBytes).buffer;
      this.#used = 0;
    }
    const piece = Buffer.from(this.#segment, this.#used, length);
    this.#used += length;
    return piece;
  }
}
