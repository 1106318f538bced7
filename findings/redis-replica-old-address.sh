#!/usr/bin/env bash
# Redis 7.0.15: a replica that learns its master's new address by gossip keeps connecting to the old one
#
# Guess: when CLUSTER NODES of a replica shows a new address of its master, the replica connects there.
#
# What happens: it does if the master itself announced the address. If another server did (gossip), the replica tries
# the old address each second, for as long as it runs. CLUSTER NODES shows the new address, INFO the old one.
#
# For users: if several servers of a Redis Cluster get new addresses at once (pods of Kubernetes), check
# master_link_status of each replica. CLUSTER REPLICATE with the id of the same master repairs it.
# Needs redis-server and redis-cli (package redis of Debian 12).
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
cd "$dir"
redis-server --version | cut -d ' ' -f 1-3
[[ $(redis-server --version) == *v=7.0.15* ]] || { echo 'not as described: another version'; exit 1; }

free_port() { node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'; }
declare -A port bus
cli() { redis-cli -p "${port[$1]}" "${@:2}" | tr -d '\r'; }
# Each start gives the server new ports, as a new pod has a new address.
start() {
  port[$1]=$(free_port)
  bus[$1]=$(free_port)
  redis-server --port "${port[$1]}" --cluster-port "${bus[$1]}" --bind 127.0.0.1 --save '' --cluster-enabled yes \
    --cluster-config-file "$1.conf" --cluster-node-timeout "$2" --cluster-replica-no-failover yes >"$1.log" &
  until [[ $(cli "$1" ping 2>/dev/null) == PONG ]]; do sleep 0.1; done
}
stop() { cli "$1" shutdown nosave 2>/dev/null || true; }
meet() { cli "$1" cluster meet 127.0.0.1 "${port[$2]}" "${bus[$2]}" >/dev/null; }
# Waits up to 20 s for a text in the output of a command.
await() {
  for _ in $(seq 200); do
    if [[ $(cli "${@:2}") == *"$1"* ]]; then return; fi
    sleep 0.1
  done
  echo "not as described: no \"$1\" in: ${*:2}"
  exit 1
}

start other 1000
start master 1000
start replica 1000
cli other cluster addslotsrange 0 8191 >/dev/null
cli master cluster addslotsrange 8192 16383 >/dev/null
meet master other
meet replica other
await cluster_known_nodes:3 replica cluster info
id=$(cli master cluster myid)
await "$id" replica cluster nodes
cli replica cluster replicate "$id" >/dev/null
await master_link_status:up replica info replication

stop master
await 'fail' replica cluster nodes
stop replica
start replica 1000
meet replica other
await "127.0.0.1:${port[replica]}@" other cluster nodes
# Only by gossip does the replica learn where its master is: for a minute the master calls the old address of the
# replica.
start master 60000
meet master other
await "127.0.0.1:${port[master]}@" replica cluster nodes
sleep 10

echo "the master has port ${port[master]}"
nodes=$(cli replica cluster nodes | grep "^$id")
info=$(cli replica info replication | grep -E '^master_(port|link_status)' | tr '\n' ' ')
echo "CLUSTER NODES of the replica: $nodes"
echo "INFO of the replica, 10 s later: $info"
[[ $info != *"master_port:${port[master]} "* && $info == *master_link_status:down* ]] || { echo 'not as described'; exit 1; }
cli replica cluster replicate "$id" >/dev/null
await master_link_status:up replica info replication
echo 'after CLUSTER REPLICATE: master_link_status:up'
