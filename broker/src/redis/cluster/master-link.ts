/** The connection that publishes to one server of a Redis Cluster, and asks it about the Cluster. */
import { PublisherLink } from '../publisher-link.js';
import { answerOf, readSlots } from './ask-server.js';
import type { SlotMap } from './slot-map.js';

export class MasterLink extends PublisherLink {
  /**
   * Whether the server is a master. Replies arrive in order, so everything sent before has its outcome then. Logs an
   * error that the server returns, and rejects.
   */
  async isMaster(): Promise<boolean> {
    const [role] = await answerOf(this, async () => (await this.ask('ROLE')) as readonly unknown[]);
    return String(role) === 'master';
  }

  /** `name`: the name of this server. Logs an error that the server returns, and rejects. */
  slots(name: string): Promise<SlotMap> {
    return readSlots(this, name, () => this.ask('CLUSTER', 'SLOTS'));
  }
}
