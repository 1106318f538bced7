/**
 * How many subscribers topics have on all nodes. Nothing counts them in advance: a node that wants to know asks the
 * others through Redis, and each answers on the channel of the node that asked.
 *
 *     question   <id of the node that asks> <number> <topic> <topic>…
 *     answer     <number> <count> <count>…
 *
 * A node that does not answer never delays others for long. Redis says how many nodes have received the question, and
 * the heartbeats say how many nodes are alive: this node waits for the smaller number, and only until the deadline.
 */
import { parseTopic, type Topic } from '@fanfare/protocol';
import type { Keys } from './keys.js';
import type { SubscriberCount } from './relay.js';

/** How long a node waits for answers, in milliseconds. */
const deadlineMs = 1_000;

/** The connection that publishes, as this file needs it. */
interface AskingLink {
  publishCounted(channel: string, message: string): Promise<number | null>;
}

interface NodeCount {
  /** The nodes that are alive, this one included. */
  readonly count: number;
}

/** The topics that are asked about in this turn, each with its place in the question. */
interface Inquiry {
  readonly topics: Map<Topic, number>;
  readonly counts: Promise<readonly SubscriberCount[]>;
}

/** A question that waits for answers. */
interface Question {
  readonly topics: readonly Topic[];
  /** The subscribers of each topic so far. */
  readonly counts: number[];
  /** The nodes that have answered so far, this one included. */
  answered: number;
  /** How many answers there can be, this node's included; null until Redis has taken the question. */
  expected: number | null;
  settle: () => void;
}

export class SubscriberCounts {
  readonly #questions = new Map<number, Question>();
  #inquiry: Inquiry | null = null;
  #asked = 0;

  /** `subscribersOf`: the number of subscribers on this node. */
  constructor(
    private readonly nodeId: string,
    private readonly link: AskingLink,
    private readonly keys: Keys,
    private readonly nodes: NodeCount,
    private readonly subscribersOf: (topic: Topic) => number,
  ) {}

  /** Asks all nodes. Never rejects. One question holds all topics of a turn. */
  async of(topic: Topic): Promise<SubscriberCount> {
    this.#inquiry ??= this.#inquire();
    const { topics, counts } = this.#inquiry;
    const place = topics.get(topic) ?? topics.size;
    topics.set(topic, place);
    return (await counts)[place] as SubscriberCount;
  }

  /** Another node, or this one, asks. */
  onQuestion(message: Buffer): void {
    const [asker = '', number = '', ...texts] = message.toString('latin1').split(' ');
    if (asker === this.nodeId) return;
    const counts = texts.map((text) => {
      const topic = parseTopic(text);
      return topic === null ? 0 : this.subscribersOf(topic);
    });
    // If Redis does not take it, the asking node waits until its deadline.
    void this.link.publishCounted(this.keys.answers(asker), [number, ...counts].join(' '));
  }

  onAnswer(message: Buffer): void {
    const [number = -1, ...counts] = message.toString('latin1').split(' ').map(Number);
    const question = this.#questions.get(number);
    if (question === undefined || counts.length !== question.topics.length) return;
    for (const [place, count] of counts.entries()) question.counts[place] = (question.counts[place] ?? 0) + count;
    question.answered++;
    this.#settleIfComplete(question);
  }

  #inquire(): Inquiry {
    const topics = new Map<Topic, number>();
    const turnEnds = new Promise((resolve) => setImmediate(resolve));
    const counts = turnEnds.then(() => {
      this.#inquiry = null;
      return this.#ask([...topics.keys()]);
    });
    return { topics, counts };
  }

  async #ask(topics: readonly Topic[]): Promise<readonly SubscriberCount[]> {
    const number = ++this.#asked;
    const counts = topics.map((topic) => this.subscribersOf(topic));
    const question: Question = { topics, counts, answered: 1, expected: null, settle: () => undefined };
    const settled = new Promise<void>((resolve) => {
      question.settle = resolve;
    });
    this.#questions.set(number, question);
    const deadline = setTimeout(() => question.settle(), deadlineMs);
    const received = await this.link.publishCounted(this.keys.questions, [this.nodeId, number, ...topics].join(' '));
    // This node receives its own question. Without an answer of Redis, nobody else has received it.
    question.expected = received === null ? 1 : Math.min(received, this.nodes.count);
    this.#settleIfComplete(question);
    await settled;
    clearTimeout(deadline);
    this.#questions.delete(number);
    const { answered } = question;
    const asked = Math.max(received ?? 0, this.nodes.count, answered);
    return counts.map((count) => ({ count, nodes: { asked, answered } }));
  }

  #settleIfComplete({ answered, expected, settle }: Question): void {
    if (expected !== null && answered >= expected) settle();
  }
}
