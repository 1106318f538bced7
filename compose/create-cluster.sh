# Makes a Redis Cluster of the servers in the arguments, `address:port` each: the first half become its masters. Does
# nothing if it exists.
set -e
if redis-cli -u "redis://$1" cluster info | grep -q cluster_slots_assigned:16384; then exit 0; fi
exec redis-cli --cluster create "$@" --cluster-replicas 1 --cluster-yes
