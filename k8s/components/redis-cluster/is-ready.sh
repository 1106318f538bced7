# A server is ready when it belongs to the Cluster and, as a replica, has the data of its master. So a rolling restart
# stops a master only if its replica can take over.
set -e
redis-cli cluster info | grep -q cluster_state:ok
! redis-cli info replication | grep -q master_link_status:down
