/** Every server that Fanfare is compared with, as far as this machine has it: in a short load it loses nothing either. */

import { UsageError } from '@fanfare/kit/options';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { carryOutRuns } from '../src/runs/load-command.js';
import type { ServerKind } from '../src/servers/server.js';
import { servers } from '../src/servers/servers.js';
import { quiet, shortRuns, shortSettings } from './short-runs.js';

const peers = Object.entries(servers).filter(([name]) => !/^(fanfare|raw)/.test(name));

// Together: they are light, and how long anything takes is not looked at.
describe.concurrent.each(peers)('%s', (name, kind) => {
  const settings = { ...shortSettings, servers: [name], generators: 1 };

  it.for(['fan-out', 'point-to-point', 'cross-node'])('loses nothing: %s', async (scenario, { skip, expect }) => {
    const missing = await kind.missing();
    if (missing !== null) return skip(missing);
    if (scenario === 'cross-node' && kind.isAlone) return skip('It is one node.');
    const load = carryOutRuns(shortRuns(scenario), settings, quiet);
    // Not `failures`: whether a peer drops a connection on a busy machine is its own matter; the result tells it.
    for (const { lost, repeated, foreign, deliveries } of await load) {
      expect({ lost, repeated, foreign }).toEqual({ lost: 0, repeated: 0, foreign: 0 });
      expect(deliveries).toBeGreaterThan(0);
    }
  });
});

describe('a server that this machine has not', () => {
  const sentence = 'mosquitto is not installed; run loadtest/install-peers.sh.';

  beforeEach(() => {
    vi.spyOn(servers['mosquitto'] as ServerKind, 'missing').mockResolvedValue(sentence);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('is left out aloud where there are others', async () => {
    const lines: string[] = [];
    const show = { ...quiet, line: (text: string) => lines.push(text) };
    const runs = shortRuns('fan-out');
    const results = await carryOutRuns(runs, { ...shortSettings, servers: ['mosquitto', 'raw'] }, show);
    expect(results.map(({ server }) => server)).toEqual(['raw']);
    expect(lines[0]).toBe(`mosquitto cannot be started: ${sentence}`);
  });

  it('is refused where it is the only one', async () => {
    const load = carryOutRuns(shortRuns('fan-out'), { ...shortSettings, servers: ['mosquitto'] }, quiet);
    await expect(load).rejects.toThrow(new UsageError(`mosquitto cannot be started: ${sentence}`));
  });
});
