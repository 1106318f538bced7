/** Short loads on each server that Fanfare is compared with, if it is installed. They lose nothing either. */

import { UsageError } from '@fanfare/kit/options';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { carryOutRuns } from '../src/runs/load-command.js';
import type { ServerKind } from '../src/servers/servers.js';
import { servers } from '../src/servers/servers.js';
import { quiet, shortRuns, shortSettings } from './short-runs.js';

const peers = Object.entries(servers).filter(([name]) => !/^(fanfare|raw)/.test(name));
const accepting = Object.entries(servers).filter(
  ([name, { protocol }]) => protocol.includes('http') && !/^fanfare/.test(name),
);

// In parallel: they are light, and durations do not matter.
describe.concurrent.each(peers)('%s', (name, kind) => {
  const settings = { ...shortSettings, servers: [name], generators: 1 };

  it.for(['fan-out', 'point-to-point', 'cross-node'])('loses nothing: %s', async (scenario, { skip, expect }) => {
    const missing = await kind.missing();
    if (missing !== null) return skip(missing);
    if (scenario === 'cross-node' && kind.isAlone) return skip('It is one node.');
    if (kind.onlyPublishes) return skip('It delivers nothing.');
    const load = carryOutRuns(shortRuns(scenario), settings, quiet);
    // `failures` is not checked: a peer may drop a connection on a busy machine. The result reports it.
    for (const { lost, repeated, foreign, deliveries } of await load) {
      expect({ lost, repeated, foreign }).toEqual({ lost: 0, repeated: 0, foreign: 0 });
      expect(deliveries).toBeGreaterThan(0);
    }
  });
});

describe.concurrent.each(accepting)('%s', (name, kind) => {
  it('answers each request', async ({ skip, expect }) => {
    const missing = await kind.missing();
    if (missing !== null) return skip(missing);
    const settings = { ...shortSettings, servers: [name], generators: 1 };
    const [result] = await carryOutRuns(shortRuns('publish'), settings, quiet);
    expect(result?.published).toBeGreaterThan(0);
    expect(result?.answers.count).toBe(result?.published);
    expect(result?.failures).toEqual({});
  });
});

describe('a server that is not installed', () => {
  const sentence = 'mosquitto is not installed; run loadtest/install-peers.sh.';

  beforeEach(() => {
    vi.spyOn(servers['mosquitto'] as ServerKind, 'missing').mockResolvedValue(sentence);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('is left out with a message if there are other servers', async () => {
    const lines: string[] = [];
    const show = { ...quiet, line: (text: string) => lines.push(text) };
    const runs = shortRuns('fan-out');
    const results = await carryOutRuns(runs, { ...shortSettings, servers: ['mosquitto', 'raw'] }, show);
    expect(results.map(({ server }) => server)).toEqual(['raw']);
    expect(lines[0]).toBe(`mosquitto cannot be started: ${sentence}`);
  });

  it('is an error if it is the only server', async () => {
    const load = carryOutRuns(shortRuns('fan-out'), { ...shortSettings, servers: ['mosquitto'] }, quiet);
    await expect(load).rejects.toThrow(new UsageError(`mosquitto cannot be started: ${sentence}`));
  });
});
