/**
 * The script that publishes, as the copy that Redis has now.
 *
 * A node sends calls of it without waiting for answers. If Redis has lost its scripts (SCRIPT FLUSH), it refuses all calls on the way, and they
 * are sent again in order. That only works if Redis refuses all of them: no node may load the script again between two calls. So each copy is
 * loaded once and never again. A node that finds the copy lost loads another one, with another name and another SHA, for itself and for nodes
 * that start later.
 */
import { randomBytes } from 'node:crypto';
import type { Keys } from './keys.js';
import { type CallingLink, isUnknownScript, publishScript, type Script, scripts } from './scripts.js';

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

  /** Resolves when Redis knows {@link current}. Rejects if Redis cannot be asked. */
  async ensure(): Promise<void> {
    if (this.#copy === '') await this.#choose('');
    else if (!(await this.#isKnown(this.#script))) await this.#choose(this.#copy);
  }

  /** Redis has lost this copy. Resolves when there is another one. Rejects if Redis cannot be asked. */
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
      // Redis lost its scripts again, between the two. If this failed, publications that wait for the flush would overtake the refused ones.
      if (isUnknownScript(answer)) return this.#choose(missing);
      throw answer;
    }
    const copy = String(answer);
    const script = publishScript(copy);
    if (copy === next) await this.link.load([script]);
    // Another node chose this copy, and may not have loaded it yet: then this node chooses another one.
    else if (!(await this.#isKnown(script))) return this.#choose(copy);
    this.#copy = copy;
    this.#script = script;
  }

  /** Asks with a call of the script that publishes nothing. */
  async #isKnown(script: Script): Promise<boolean> {
    const { generation, newestEpoch } = this.keys;
    const [answer] = await this.link.evaluate([{ script, keys: [generation, newestEpoch], args: ['', '0', 0, ''] }]);
    return !(answer instanceof Error && isUnknownScript(answer));
  }
}
