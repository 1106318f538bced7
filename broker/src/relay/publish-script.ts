/**
 * The script that publishes, as the copy that Redis has now.
 *
 * A node sends calls of it without waiting for answers. If Redis has lost its scripts (SCRIPT FLUSH), it refuses all
 * calls on the way, and the node sends them again in order. That works only if Redis refuses all of them: no node may
 * load the script again between two calls. So each copy is loaded once and never again. If a node finds that Redis has
 * lost the copy, it loads a new copy with a new name and a new SHA. Nodes that start later use it too.
 */
import { randomBytes } from 'node:crypto';
import type { Script } from '../redis/redis.js';
import type { Keys } from './keys.js';
import { type CallingLink, isUnknownScript, publishScript, scripts } from './scripts.js';

export class PublishScript {
  #copy = '';
  #script = publishScript('');
  #renewing: Promise<void> | null = null;

  constructor(
    private readonly link: CallingLink,
    private readonly keys: Keys,
  ) {}

  /** The copy to use for new calls. */
  get current(): Script {
    return this.#script;
  }

  /** Resolves when Redis knows {@link current}. Rejects if Redis does not answer. */
  async ensure(): Promise<void> {
    if (this.#copy === '') await this.#choose('');
    else if (!(await this.#isKnown(this.#script))) await this.#choose(this.#copy);
  }

  /** Call it if Redis has lost this copy. Resolves when there is a new copy. Rejects if Redis does not answer. */
  replace(missing: Script): Promise<void> {
    if (missing.sha !== this.#script.sha) return Promise.resolve();
    this.#renewing ??= this.#choose(this.#copy).finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  async #choose(missing: string): Promise<void> {
    const next = randomBytes(6).toString('hex');
    await this.link.load([scripts.chooseCopy]);
    const [answer] = await this.link.evaluate([
      { script: scripts.chooseCopy, keys: [this.keys.copy], args: [missing, next] },
    ]);
    if (answer instanceof Error) {
      // Redis lost its scripts again, between the two commands. Retry: a failure here would let waiting publications
      // overtake the refused ones.
      if (isUnknownScript(answer)) return this.#choose(missing);
      throw answer;
    }
    const copy = String(answer);
    const script = publishScript(copy);
    if (copy === next) await this.link.load([script]);
    // Another node chose this copy. If it has not loaded it yet, this node chooses a new copy.
    else if (!(await this.#isKnown(script))) return this.#choose(copy);
    this.#copy = copy;
    this.#script = script;
  }

  /** Calls the script without publications, to see whether Redis knows it. */
  async #isKnown(script: Script): Promise<boolean> {
    const { generation, newestEpoch, run } = this.keys;
    const keys = [generation, newestEpoch, run];
    const [answer] = await this.link.evaluate([{ script, keys, args: ['', '0', 0, ''] }]);
    return !(answer instanceof Error && isUnknownScript(answer));
  }
}
