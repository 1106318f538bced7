/**
 * The pace of PROTOCOL.md 4.7, run against the limits of a node: no connection is closed with 4006, and the rate is
 * used. Time is simulated.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Subject } from '../src/limits/subjects.js';
import { loadConfig } from '../src/settings/config.js';

const markdown = readFileSync(new URL('../../protocol/PROTOCOL.md', import.meta.url), 'utf8');
const [, code = ''] = /### 4\.7 .*?```js\n(.*?)```/s.exec(markdown) ?? [];

interface Pace {
  mayLeave(unanswered: number, now: number): boolean;
  onLeave(now: number): void;
  onOtherAnswer(): void;
  onRateLimited(retryAfterMs: number | undefined, leftAt: number, now: number): void;
}

const names = 'mayLeave, onLeave, onOtherAnswer, onRateLimited';
const newPace = (): Pace => new Function(`'use strict';\n${code}\nreturn { ${names} };`)();

const config = loadConfig({});

/** One minute in which all connections of a subject have more to send than their rate allows. `isClosed`: with 4006. */
function minuteOf({ connections, roundTripMs, kind }: { connections: number; roundTripMs: number; kind: string }) {
  const subject = new Subject('somebody', config, null, 0);
  const events = new Map<number, (() => void)[]>();
  const at = (time: number, act: () => void): unknown => events.get(time)?.push(act) ?? events.set(time, [act]);
  const clients = Array.from({ length: connections }, () => ({ pace: newPace(), unanswered: 0 }));
  let [accepted, isClosed] = [0, false];
  for (let now = 0; now < 60_000; now++) {
    for (const act of events.get(now) ?? []) act();
    events.delete(now);
    for (const client of clients) {
      const { pace } = client;
      while (pace.mayLeave(client.unanswered, now)) {
        pace.onLeave(now);
        client.unanswered++;
        const reachedAt = now + roundTripMs / 2;
        const answeredAt = now + roundTripMs;
        const leftAt = now;
        at(reachedAt, () => {
          const admission =
            kind === 'publications' ? subject.admitPublication(100, true, reachedAt) : subject.admitCommand(reachedAt);
          if (admission === 'admitted') accepted++;
          else if (!subject.mayBeRefused(reachedAt)) isClosed = true;
          at(answeredAt, () => {
            client.unanswered--;
            if (typeof admission === 'string') pace.onOtherAnswer();
            else pace.onRateLimited(admission.retryAfterMs, leftAt, answeredAt);
          });
        });
      }
    }
  }
  return { accepted, isClosed };
}

describe.each([1, 5, config.maxConnectionsPerSubject])(
  'a client with %i connections that follows the pace of PROTOCOL.md 4.7',
  (connections) => {
    it.each([
      ['publications', 2, config.publishRate],
      ['publications', 50, config.publishRate],
      ['publications', 300, config.publishRate],
      ['other commands', 2, config.commandRate],
      ['other commands', 300, config.commandRate],
    ])('uses its rate and is not closed: %s, round trips of %i ms', (kind, roundTripMs, rate) => {
      const { accepted, isClosed } = minuteOf({ connections, roundTripMs, kind });
      expect(isClosed).toBe(false);
      expect(accepted).toBeGreaterThan(0.9 * rate * 60);
    });
  },
);
