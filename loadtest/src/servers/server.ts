/** A kind of server that can be put under load: Fanfare, or a broker that it is compared with. */
import { UsageError } from '@fanfare/kit/options';
import type { Launcher } from '../launch/launcher.js';
import type { ProtocolName } from '../protocols/protocols.js';

export interface ServerKind extends Launcher {
  /** A description of the server and its configuration, for the report. */
  readonly about: string;
  readonly protocol: ProtocolName;
  /** Its processes do not connect to each other, so it is always one node. */
  readonly isAlone?: true;
}

/** `load` imports the code that starts it. The image of the load generator does not contain that code. */
export function server(facts: Omit<ServerKind, keyof Launcher>, load: () => Promise<Launcher>): ServerKind {
  return {
    ...facts,
    missing: async () => (await fromRepository(load)).missing(),
    start: async (options) => (await fromRepository(load)).start(options),
  };
}

/** Loads code that only the repository contains. */
export async function fromRepository<Loaded>(load: () => Promise<Loaded>): Promise<Loaded> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new UsageError('This installation cannot start servers: give the URL of a broker with --url.');
  }
}
