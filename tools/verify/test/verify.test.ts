/**
 * Short runs in parallel against a real cluster: one whose verdict must be good, and others whose verdicts must be bad.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { transports } from '../src/checker/checker.js';
import { Subscribers } from '../src/checker/subscribers.js';
import { type FaultRunOptions, runFault } from '../src/fault-run/fault-run.js';
import { reportVerdicts } from '../src/fault-run/verdict-report.js';
import type { Fault } from '../src/faults/fault.js';
import { faults } from '../src/faults/index.js';

const options: FaultRunOptions = {
  rate: 300,
  topics: 20,
  publishersPerTopic: 2,
  subscribers: 30,
  topicsPerSubscriber: 1,
  bytes: 100,
  nodes: 3,
  redis: 'single',
  level: 'recoverable',
  transports,
  seconds: 3,
  clients: null,
  maxWaitMs: 1_000,
};

const timeoutMs = 180_000;

function faultNamed(name: string): Fault {
  const fault = faults.find((each) => each.name === name);
  if (fault === undefined) throw new Error(`There is no fault ${name}.`);
  return fault;
}

it.concurrent(
  'a cluster loses nothing when a node is killed',
  async () => {
    const result = await runFault(faultNamed('kill-node'), options, () => {});
    expect(result.reasons).toEqual([]);
    expect(result).toMatchObject({
      isGood: true,
      findings: { lost: 0, duplicates: 0, outOfOrder: 0, reportedGaps: 0 },
    });
    // The node had a third of the subscribers, or fewer if the machine is busy and some had reconnected before.
    expect(result.reconnects).toBeGreaterThan(0);
    expect(result.published.acknowledged).toBeGreaterThan(options.rate * options.seconds * 0.9);
    // Each topic has one subscriber, and every other topic has a second one.
    expect(result.findings.delivered).toBeGreaterThan(result.published.acknowledged);
    expect(reportVerdicts([result], options)).toContain('| kill-node | good ');
  },
  timeoutMs,
);

/** Forwards all bytes, but changes one filler byte that the nodes send. */
async function startTamperer(targetUrl: string): Promise<{ url: string } & AsyncDisposable> {
  let isDone = false;
  const server = createServer((client) => {
    const node = connect({ host: '127.0.0.1', port: Number(new URL(targetUrl).port) });
    for (const socket of [client, node]) socket.on('error', () => {});
    client.pipe(node);
    node.on('data', (bytes: Buffer) => {
      const at = isDone ? -1 : bytes.indexOf('xxxx');
      if (at >= 0) {
        bytes[at] = 0x79;
        isDone = true;
      }
      client.write(bytes);
    });
    client.once('close', () => node.destroy());
    node.once('close', () => client.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`;
  return { url, [Symbol.asyncDispose]: async () => void server.close() };
}

it.concurrent(
  'the checker finds one changed byte on the way to one subscriber',
  async () => {
    const tamper: Fault = {
      name: 'tamper',
      about: 'An additional subscriber receives one byte that differs from the published one.',
      resets: 'none',
      placements: ['single'],
      async prepare({ addGroup, addTopic, balancer, published, use }) {
        const plan = addTopic('tampered', 100, 20);
        const { url } = use(await startTamperer(balancer.url));
        addGroup(await Subscribers.open({ url, topicsOfClients: [[plan]], published }), 'the deceived');
        return { strike: async () => plan.load.start() };
      },
    };
    const result = await runFault(tamper, { ...options, seconds: 2 }, () => {});
    expect(result).toMatchObject({ isGood: false, findings: { corrupt: 1, lost: 1 } });
    expect(result.reasons).toEqual(['1 corrupt', '1 lost', '1 gaps without an event']);
  },
  timeoutMs,
);

it.concurrent(
  'the verdict is bad if the fault could not be made',
  async () => {
    const broken: Fault = {
      name: 'broken',
      about: 'Cannot be made.',
      resets: 'allowed',
      placements: ['single'],
      strike: () => Promise.reject(new Error('it would not break')),
    };
    const result = await runFault(broken, { ...options, seconds: 2 }, () => {});
    expect(result).toMatchObject({ isGood: false, reasons: ['it would not break'], findings: { lost: 0 } });
  },
  timeoutMs,
);
