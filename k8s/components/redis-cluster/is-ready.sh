# A server is ready when it belongs to the Cluster and, as a replica, has the data of its master. So a rolling restart
# stops a master only if its replica can take over.
set -e
redis-cli cluster info | grep -q cluster_state:ok
replication=$(redis-cli info replication)
if ! echo "$replication" | grep -q master_link_status:down; then exit 0; fi
# Redis 7.0 may learn the new address of its master and still connect to the old one, until another CLUSTER REPLICATE
# (findings/redis-replica-old-address.sh).
if echo "$replication" | grep -q master_sync_in_progress:0; then
  redis-cli cluster replicate "$(redis-cli cluster nodes | grep myself | cut -d ' ' -f 4)"
fi
exit 1
