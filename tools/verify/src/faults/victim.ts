/** The targets of faults that affect one node or one connection. */
import type { FaultProxy } from '@fanfare/local-cluster';
import type { ClusterUnderTest, NodeUnderTest } from '../cluster/cluster-under-test.js';

/** The first node, which also has the proxy if there is one. */
export function firstNode({ nodes }: ClusterUnderTest): NodeUnderTest {
  const [node] = nodes;
  if (node === undefined) throw new Error('There is no node.');
  return node;
}

/** The proxy of the fault. Throws if no connection passes through it, because the fault would have no effect. */
export function proxyOf({ proxy }: ClusterUnderTest): FaultProxy {
  if (proxy === null) throw new Error('There is no proxy.');
  if (proxy.connections === 0) throw new Error('There is no connection through the proxy.');
  return proxy;
}
