/** All checks, from the name of the broker to a publication. A later check runs only if what it needs works. */
import type { Broker } from '../broker.js';
import { Exchanges } from './exchange.js';
import type { Report } from './finding.js';
import { checkHttp, checkPost } from './http.js';
import { checkNetwork } from './network.js';
import { checkTopic, topicFor } from './topic.js';
import { checkIdle, checkWebSocket } from './websocket.js';

interface Wishes {
  /** The topic to publish to. */
  readonly topic?: string;
  /** How long a connection is kept silent, in seconds. */
  readonly idle?: number;
}

export async function runChecks(broker: Broker, { topic: given, idle }: Wishes, report: Report): Promise<void> {
  const { protocol, hostname, port } = broker.address;
  const isTls = protocol === 'wss:';
  const place = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || (isTls ? 443 : 80)), isTls };
  if (!(await checkNetwork(place, broker.timeoutMs, report))) return;
  const exchanges = new Exchanges(broker.timeoutMs);
  try {
    const facts = await checkHttp(broker, exchanges, report);
    if (facts === null) return;
    if (facts.isFanfare) await checkPost(broker, exchanges, report);
    const socket = await checkWebSocket(broker, facts.skewMs, report);
    const topic = topicFor(broker, given);
    if (topic !== null) {
      await checkTopic({ broker, exchanges, socket, topic, mayPublish: given !== undefined, report });
    } else {
      const sentence =
        'Subscribing and event streams were not checked. --topic <topic> names a topic that the token permits.';
      report({ verdict: 'skipped', check: 'subscribe', sentence });
    }
    if (socket !== null && idle !== undefined) await checkIdle(socket, idle, report);
    socket?.close();
  } finally {
    exchanges.close();
  }
}
