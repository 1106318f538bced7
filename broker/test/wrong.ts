/** What a node says about its settings when it refuses to start. */
import { ConfigError, loadConfig } from '../src/settings/config.js';

/** The sentences that prevent the start. */
export function wrong(environment: Readonly<Record<string, string>>): readonly string[] {
  try {
    loadConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.sentences;
    throw error;
  }
}
