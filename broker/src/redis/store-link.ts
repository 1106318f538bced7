/** The connection of authentication: keeps small values in Redis that all nodes share. */
import type { Log } from '../observe/log.js';
import { Link, type LinkEvents, type RedisCounters } from './redis-link.js';
import type { RedisSettings } from './redis-options.js';
import type { ScriptCall } from './script.js';

type Command = readonly [name: string, ...args: (string | number | Buffer)[]];

export class StoreLink extends Link {
  constructor(settings: RedisSettings, log: Log, counters: RedisCounters, events: LinkEvents) {
    super('auth', settings, log, counters, events);
  }

  /** Sends commands in one pipeline. Resolves with their answers; rejects if one fails, or if the connection is lost. */
  async run(commands: readonly Command[]): Promise<readonly unknown[]> {
    return this.#throwError(await this.#send(commands));
  }

  /** Calls scripts in one pipeline. Resolves and rejects as {@link run} does. */
  async evaluate(calls: readonly ScriptCall[]): Promise<readonly unknown[]> {
    const answers = await this.#send(calls.map((call) => commandOf('EVALSHA', call.script.sha, call)));
    const unknown = calls.filter((_, index) => isUnknownScript(answers[index]));
    if (unknown.length === 0) return this.#throwError(answers);
    // Redis has lost the script. EVAL makes it known again. Only calls that did not run are repeated.
    const repeated = [...(await this.#send(unknown.map((call) => commandOf('EVAL', call.script.source, call))))];
    return this.#throwError(answers.map((answer) => (isUnknownScript(answer) ? repeated.shift() : answer)));
  }

  /** Resolves with the answer or the error of each command. Rejects if the connection is lost. */
  async #send(commands: readonly Command[]): Promise<readonly unknown[]> {
    const pipeline = this.redis.pipeline();
    for (const [name, ...args] of commands) pipeline.call(name, ...args);
    const results = (await this.track(pipeline.exec())) ?? [];
    return results.map(([error, answer]) => error ?? answer);
  }

  #throwError(answers: readonly unknown[]): readonly unknown[] {
    const error = answers.find((answer) => answer instanceof Error);
    if (error === undefined) return answers;
    if (this.isReady) this.report(error as Error);
    throw error;
  }
}

function commandOf(command: 'EVALSHA' | 'EVAL', script: string, { keys, args }: ScriptCall): Command {
  return [command, script, keys.length, ...keys, ...args];
}

function isUnknownScript(answer: unknown): boolean {
  return answer instanceof Error && answer.message.startsWith('NOSCRIPT');
}
