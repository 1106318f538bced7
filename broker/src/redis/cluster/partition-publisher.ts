/** Publishes to one partition of a Redis Cluster, on the connection to the master that has it now. */
import { type CommandStream, lostError } from '../command-stream.js';
import type { PublishingLink, RedisMessage } from '../publisher-link.js';
import type { Reply } from '../reply-reader.js';
import type { Script, ScriptCall } from '../script.js';
import type { ClusterServer } from './cluster-server.js';
import type { MasterLink } from './master-link.js';

/** The partition, as this file needs it. */
interface PublishingPartition {
  /** The master that has the partition; null while there is none, or while it cannot be used. */
  readonly publishingAt: ClusterServer | null;
  /** Takes an error that a server returned. */
  onRefused(error: Error): void;
}

export class PartitionPublisher implements PublishingLink {
  /** The last answer to a probe, if it was an error. */
  #refusal: Error | null = null;

  /** `linkOf`: which of the connections to a server it uses. */
  constructor(
    private readonly partition: PublishingPartition,
    private readonly linkOf: (server: ClusterServer) => MasterLink | null,
  ) {}

  get isReady(): boolean {
    return this.#link?.isReady === true;
  }

  get commands(): CommandStream | null {
    return this.#link?.commands ?? null;
  }

  get isOutOfMemory(): boolean {
    return this.#link?.isOutOfMemory === true;
  }

  /** Why the server has refused the last probe; null if it has not. */
  get refusal(): Error | null {
    return this.#refusal;
  }

  async evaluate(calls: readonly ScriptCall[]): Promise<readonly unknown[]> {
    const link = this.#link;
    if (link === null) return calls.map(() => lostError());
    return this.#noted(await link.evaluate(calls));
  }

  async load(scripts: readonly Script[]): Promise<void> {
    const server = this.partition.publishingAt;
    const link = this.#link;
    if (server === null || link === null) throw lostError();
    await server.load(link, scripts);
  }

  async publish(messages: readonly RedisMessage[]): Promise<readonly (Error | null)[]> {
    const link = this.#link;
    if (link === null) return messages.map(() => lostError());
    return this.#noted(await link.publish(messages));
  }

  async publishCounted(channel: string, message: string): Promise<number | null> {
    return (await this.#link?.publishCounted(channel, message)) ?? null;
  }

  async scanStreams(
    pattern: string,
    cursor: string,
    count: number,
  ): Promise<{ next: string; keys: readonly Buffer[] }> {
    const link = this.#link;
    if (link === null) throw lostError();
    return link.scanStreams(pattern, cursor, count);
  }

  noteWrite(answer: unknown): void {
    this.#refusal = answer instanceof Error ? answer : null;
    this.#link?.noteWrite(answer);
    this.#note(answer);
  }

  report(error: Error): void {
    this.#note(error);
    this.#link?.report(error);
  }

  reportReply(reply: Reply): void {
    this.#note(reply);
    this.#link?.reportReply(reply);
  }

  get #link(): MasterLink | null {
    const server = this.partition.publishingAt;
    return server === null ? null : this.linkOf(server);
  }

  #noted<Answer>(answers: readonly Answer[]): readonly Answer[] {
    for (const answer of answers) this.#note(answer);
    return answers;
  }

  #note(answer: unknown): void {
    if (answer instanceof Error) this.partition.onRefused(answer);
  }
}
