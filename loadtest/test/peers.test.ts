/** Every server that Fanfare is compared with, as far as this machine has it: in a short load it loses nothing either. */
import { describe, expect, it } from 'vitest';
import { UsageError } from '../src/flags.js';
import { carryOutRuns } from '../src/load-command.js';
import { servers } from '../src/servers/servers.js';
import { quiet, shortRuns, shortSettings } from './short-runs.js';

/** Those whose processes know nothing of each other. */
const loners = new Set(['mosquitto', 'aedes']);
const peers = Object.entries(servers).filter(([name]) => !/^(fanfare|raw)/.test(name));

describe.each(peers)('%s', (name, kind) => {
  const settings = { ...shortSettings, servers: [name] };

  it.for(['fan-out', 'point-to-point', 'cross-node'])('loses nothing: %s', async (scenario, { skip }) => {
    const missing = await kind.missing();
    if (missing !== null) return skip(missing);
    const load = carryOutRuns(shortRuns(scenario), settings, quiet);
    if (scenario === 'cross-node' && loners.has(name)) {
      await expect(load).rejects.toThrow(UsageError);
      return;
    }
    for (const { lost, repeated, foreign, failures, deliveries } of await load) {
      expect({ lost, repeated, foreign, failures }).toEqual({ lost: 0, repeated: 0, foreign: 0, failures: {} });
      expect(deliveries).toBeGreaterThan(0);
    }
  });
});
