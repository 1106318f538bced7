/** The connection that publishes to one server of a Redis Cluster, and asks it about the Cluster. */
import { PublisherLink } from '../publisher-link.js';
import { SlotMap } from './slot-map.js';

export class MasterLink extends PublisherLink {
  /** Whether the server is a master. Replies arrive in order, so everything sent before has its outcome then. */
  async isMaster(): Promise<boolean> {
    const [role] = (await this.ask('ROLE')) as readonly unknown[];
    return String(role) === 'master';
  }

  /** `name`: the name of this server. Logs an error that the server returns, and rejects. */
  async slots(name: string): Promise<SlotMap> {
    try {
      return SlotMap.read(await this.ask('CLUSTER', 'SLOTS'), name);
    } catch (error) {
      if (this.isReady) this.report(error as Error);
      throw error;
    }
  }
}
