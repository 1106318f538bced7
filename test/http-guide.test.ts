/** docs/http.md and section 10 of PROTOCOL.md match the code. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  httpStatusOf,
  isRetryable,
  maxDataDepth,
  maxMessageIdBytes,
  replyErrors,
  requestErrors,
} from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import {
  maxBatchBytes,
  maxBatchDataBytes,
  maxBatchPublications,
  maxItemTopics,
} from '../broker/src/http/batch-request.js';
import { maxWaitSeconds } from '../broker/src/http/history-request.js';
import {
  maxHeldBytes,
  maxOpenRequests,
  maxOpenRequestsOfOwner,
  requestTimeoutMs,
} from '../broker/src/http/open-requests.js';
import { isMaybeDelivered, type ProblemCode } from '../broker/src/http/problem.js';
import { loadConfig } from '../broker/src/index.js';
import { eventNames } from '../broker/src/streams/event-text.js';
import { maxStreamTopics } from '../broker/src/streams/stream-request.js';
import { startCluster } from '../broker/test/harness.js';
import { env } from './tokens.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const guide = readFileSync(join(root, 'docs/http.md'), 'utf8');
const protocol = readFileSync(join(root, 'protocol/PROTOCOL.md'), 'utf8');

/** The cells of the rows of the first table below a heading, without backticks. */
function table(text: string, heading: string): string[][] {
  const [, below = ''] = text.split(new RegExp(`^#+ ${heading}\\n`, 'm'));
  const lines = below.split('\n');
  const first = lines.findIndex((line) => /^\|[ -]+\|[-| ]*$/.test(line)) + 1;
  const end = lines.findIndex((line, index) => index >= first && !line.startsWith('|'));
  return lines.slice(first, end).map((row) =>
    row
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

const bare = (cell = ''): string => cell.replaceAll('`', '');

describe('docs/http.md', () => {
  it('shows each program of examples/http as it is', () => {
    for (const file of readdirSync(join(root, 'examples/http')))
      expect(guide, file).toContain(`\n${readFileSync(join(root, 'examples/http', file), 'utf8')}\`\`\`\n`);
  });

  it('lists every error with its status', () => {
    const rows = table(guide, 'Errors').map(([code, ...cells]) => [bare(code), ...cells.slice(0, 3)]);
    // These answer only commands of a WebSocket.
    const { alreadySubscribed: _, notSubscribed: __, ...errors } = { ...replyErrors, ...requestErrors };
    const word = (is: boolean): string => (is ? 'yes' : 'no');
    const implemented = (Object.keys(errors) as ProblemCode[]).map((code) => [
      code,
      String(httpStatusOf(code)),
      word(isRetryable(code)),
      word(code in replyErrors && isMaybeDelivered(code as keyof typeof replyErrors)),
    ]);
    const sorted = (list: string[][]): string[] => list.map((row) => row.join(' ')).sort();
    expect(sorted(rows)).toEqual(sorted(implemented));
  });

  it('lists every event', () => {
    const names = table(guide, 'Event streams').map(([name]) => bare(name));
    expect(new Set(names)).toEqual(new Set([...eventNames, 'undecodable', 'message (no name)']));
    // They would call the handlers of a page for something else.
    expect(eventNames).not.toEqual(expect.arrayContaining(['open']));
    expect(eventNames).not.toEqual(expect.arrayContaining(['error']));
    const specified = table(protocol, '10\\.4 Event streams').map(([name]) => bare(name));
    expect(new Set(specified)).toEqual(new Set([...eventNames, 'undecodable', 'no name']));
  });

  it('has the limits of the code', () => {
    const { maxFrameBytes, maxConnectionsPerSubject, maxConnectionsPerAddress, sseHeartbeatMs, ...config } = loadConfig(
      {
        FANFARE_AUTH: 'none',
      },
    );
    const limits = Object.fromEntries(table(guide, 'Limits').map(([name, value]) => [name, value]));
    expect(limits).toMatchObject({
      'one publication': `${maxFrameBytes} bytes (\`FANFARE_MAX_FRAME_BYTES\`), nested ${maxDataDepth} deep`,
      'a batch': `${maxBatchPublications} publications, ${maxBatchBytes} bytes, ${maxItemTopics} topics for an item, ${maxBatchDataBytes} bytes of data (counted for each topic)`,
      'time for a whole body': `${requestTimeoutMs / 1_000} s`,
      'incomplete bodies': `${maxOpenRequestsOfOwner} of an address or subject, ${maxOpenRequests} of a node, ${maxHeldBytes} bytes`,
      'topics of an event stream': `${maxStreamTopics}`,
      '`wait`': `${maxWaitSeconds} s`,
      'streams and held polls': `count as connections: ${maxConnectionsPerSubject} of a subject, ${maxConnectionsPerAddress} of an address`,
    });
    expect(guide).toContain(`A key has 1 to ${maxMessageIdBytes} characters`);
    expect(guide).toContain(`for at least ${config.idempotencyWindowSeconds} s`);
    expect(guide).toContain(`longer than ${sseHeartbeatMs / 1_000} s for the next byte of a stream`);
  });
});

it('section 10.1 of PROTOCOL.md lists the requests of a node, and their successes', async () => {
  await using cluster = await startCluster({ env });
  const response = await fetch(`http://127.0.0.1:${cluster.node().broker.port}/v1/openapi.json`);
  const { paths } = (await response.json()) as {
    paths: Record<string, Record<string, { responses: Record<string, object> }>>;
  };
  const served = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { responses }]) => {
      const successes = Object.keys(responses).filter((status) => Number(status) < 300);
      return `${method.toUpperCase()} ${path}: ${successes.join(', ')}`;
    }),
  );
  const documented = table(protocol, '10\\.1 Requests').map(([request, , success]) => `${bare(request)}: ${success}`);
  expect(documented.sort()).toEqual(served.sort());
});
