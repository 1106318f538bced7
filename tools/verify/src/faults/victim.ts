/** Whom the faults strike that strike one. */
import type { FaultProxy } from '@fanfare/local-cluster';
import type { ClusterUnderTest, NodeUnderTest } from '../cluster/cluster-under-test.js';

/** The node that also has the proxy where there is one. */
export function firstNode({ nodes }: ClusterUnderTest): NodeUnderTest {
  const [node] = nodes;
  if (node === undefined) throw new Error('There is no node.');
  return node;
}

/** The proxy that the fault has asked for. Where nothing passes through it, the fault would strike nobody. */
export function proxyOf({ proxy }: ClusterUnderTest): FaultProxy {
  if (proxy === null) throw new Error('There is no proxy.');
  if (proxy.connections === 0) throw new Error('There is no connection through the proxy.');
  return proxy;
}
