/** Is notified of what happens to the connections to one server, as far as they concern it. */
import type { ChannelMessage } from './reply-reader.js';

export interface LinksOwner {
  /** When the last probe was sent that came back, by performance.now(). */
  readonly provenAt: number;
  /** The connection that publishes works (again). */
  onPublisherReady(): void;
  onPublisherLost(): void;
  /** The connection that listens works (again), without any channel. */
  onSubscriberReady(): void;
  onSubscriberLost(): void;
  onMessage(message: ChannelMessage): void;
}
