/** The connection of authentication: keeps small values in Redis that all nodes share. */
import type { Log } from '../observe/log.js';
import { isMoved } from './redis-fault.js';
import { type Command, Link, type LinkEvents, type RedisCounters } from './redis-link.js';
import type { RedisSettings } from './redis-options.js';
import type { Reply } from './reply-reader.js';
import type { ScriptCall } from './script.js';

export class StoreLink extends Link {
  constructor(settings: RedisSettings, log: Log, counters: RedisCounters, events: LinkEvents) {
    super('auth', settings, log, counters, events);
  }

  /**
   * Sends commands in one pipeline. Resolves with their answers; rejects if one fails, or if the connection is lost.
   */
  async run(commands: readonly Command[]): Promise<readonly unknown[]> {
    return this.#throwError(await this.#send(commands));
  }

  /** Calls scripts in one pipeline. Resolves and rejects as {@link run} does. */
  async evaluate(calls: readonly ScriptCall[]): Promise<readonly unknown[]> {
    const answers = await this.#send(calls.map((call) => commandOf('EVALSHA', call.script.sha, call)));
    const unknown = calls.filter((_, index) => isUnknownScript(answers[index]));
    if (unknown.length === 0) return this.#throwError(answers);
    // Redis has lost the script. EVAL loads it again. Only calls that did not run are repeated.
    const repeated = [...(await this.#send(unknown.map((call) => commandOf('EVAL', call.script.source, call))))];
    return this.#throwError(answers.map((answer) => (isUnknownScript(answer) ? repeated.shift() : answer)));
  }

  /** Bulk strings are text here. */
  async #send(commands: readonly Command[]): Promise<readonly unknown[]> {
    return (await this.call(commands)).map(textIn);
  }

  #throwError(answers: readonly unknown[]): readonly unknown[] {
    const error = answers.find((answer) => answer instanceof Error);
    if (error === undefined) return answers;
    if (this.isReady && !isMoved(error as Error)) this.report(error as Error);
    throw error;
  }
}

function commandOf(command: 'EVALSHA' | 'EVAL', script: string, { keys, args }: ScriptCall): Command {
  return [command, script, keys.length, ...keys, ...args];
}

function isUnknownScript(answer: unknown): boolean {
  return answer instanceof Error && answer.message.startsWith('NOSCRIPT');
}

function textIn(reply: Reply): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString();
  return Array.isArray(reply) ? reply.map(textIn) : reply;
}
