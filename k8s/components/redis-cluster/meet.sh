# Runs in each pod when Redis has started. A restarted pod has a new address, and Redis remembers the old addresses of
# the others. If all pods restart at once, no server finds another: so each calls the others at their current addresses.
port=6379
until redis-cli -p "$port" -e ping; do sleep 1; done
# The Cluster does not exist yet. It can only be created of servers that do not know each other.
if redis-cli -p "$port" cluster info | grep -q 'cluster_known_nodes:1[^0-9]'; then exit 0; fi
for number in 0 1 2 3 4 5; do
  address=$(getent ahosts "redis-cluster-$number.redis-cluster" | head -n 1 | cut -d ' ' -f 1)
  # A pod without an address calls this one when it starts.
  if [ -n "$address" ]; then redis-cli -p "$port" cluster meet "$address" "$port"; fi
done
