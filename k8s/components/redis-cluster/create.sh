# Creates the Cluster: the first three servers become its masters. Does nothing if it exists.
set -e
port=6379
servers=
for number in 0 1 2 3 4 5; do
  host="redis-cluster-$number.redis-cluster"
  until redis-cli -h "$host" -p "$port" -e ping; do sleep 1; done
  # Redis needs addresses, not names.
  servers="$servers $(getent ahosts "$host" | head -n 1 | cut -d ' ' -f 1):$port"
done
if redis-cli -h redis-cluster-0.redis-cluster -p "$port" cluster info | grep -q cluster_slots_assigned:16384; then
  exit 0
fi
exec redis-cli --cluster create $servers --cluster-replicas 1 --cluster-yes
