/** Questions to one server of a Redis Cluster about itself and the Cluster. */
import type { Reply } from '../reply-reader.js';
import { SlotMap } from './slot-map.js';

/** The connection, as this file needs it. */
interface AskedLink {
  readonly isReady: boolean;
  report(error: Error): void;
}

/** Reads the slots. `name`: the name of the server. `ask`: see {@link answerOf}. */
export async function readSlots(link: AskedLink, name: string, ask: () => Promise<Reply>): Promise<SlotMap> {
  return answerOf(link, async () => SlotMap.read(await ask(), name));
}

/** Logs an error that the server returns, such as a missing permission, and rejects. */
export async function answerOf<Answer>(link: AskedLink, ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask();
  } catch (error) {
    if (link.isReady) link.report(error as Error);
    throw error;
  }
}
