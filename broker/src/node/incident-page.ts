/** The section of docs/observability.md on reading the log; its lines are those of a drill with two nodes, shortened. */
export const incidentSection = `## An incident, read from the log

The lines of one node, shortened, as \`FANFARE_LOG_FORMAT=pretty\` shows them but for their place in the line; in JSON they are the fields \`time\`, \`level\`, \`event\`, \`link\` and \`msg\`. First Redis was killed and came back empty seven seconds later; then it hung for five seconds; then the node was stopped.

\`\`\`
18:51:21 warn  redisLost (publisher)      Lost the connection to Redis. Reconnecting.
18:51:21 warn  redisLost (subscriber)     Lost the connection to Redis. Reconnecting.
18:51:21 error outageBegan                OUTAGE: Redis is not connected. 3 clients stay connected. The node rejects acknowledged publishes and new subscriptions, and delivers nothing new on topics with history. /readyz returns 503.
18:51:21 error redisError (publisher)     Redis refuses the connection. Check that it is running and that FANFARE_REDIS_URL has its host and port.
18:51:28 info  redisConnected (publisher) Connected to Redis.
18:51:28 info  redisConnected (subscriber) Connected to Redis.
18:51:28 warn  redisRecovered             Redis has a different state. The nodes restored the lost data in 55 ms (this node: 1 topics).
18:51:28 info  topicsCompared             Compared 1 topics with Redis in 1 ms: 0 had missed publications. Delivered 0 publications late; sent 0 gaps and 0 resets.
18:51:29 warn  outageOver                 OUTAGE over: Redis is back after 6.6 s. Since its start: 133 commands refused, 0 publishes unconfirmed, 0 unacknowledged publications not sent to other nodes, 0 publications delivered late. No known loss of acknowledged publications.

18:51:31 warn  probeMissed                Redis has not accepted the probe. Publishing to topics with history is not possible.
18:51:32 warn  redisReset (publisher)     Redis has not answered for 1000 ms. Reconnecting.
18:51:32 warn  redisLost (publisher)      Lost the connection to Redis. Reconnecting.
18:51:32 error outageBegan                OUTAGE: Redis is not connected. …
18:51:35 error redisError (publisher)     Redis does not respond. Check that the host is up, reachable and runs Redis.
18:51:37 info  redisConnected (publisher) Connected to Redis.
18:51:38 warn  outageOver                 OUTAGE over: Redis is back after 5.0 s. Since its start: 94 commands refused, 20 publishes unconfirmed, … No known loss of acknowledged publications.

18:51:39 info  draining                   Draining: asking 3 connections to move within 4000 ms.
18:51:43 info  drainWave                  Closing 1 connections.
18:51:44 info  stopped                    Stopped after 5.1 s. 3 connections: 0 moved by themselves, 3 were closed, 0 of those were dropped.
\`\`\`

| question | where it is answered |
|---|---|
| What happened, and what should I do? | \`redisError\`, between the beginning and the end: here "check that it is running", then "check that the host is up". Once for each connection, then every 10 s. |
| Since when? | \`outageBegan\`. A Redis that hangs was silent for \`FANFARE_REDIS_TIMEOUT_MS\` before that, as \`redisReset\` says. |
| Is it over? | \`outageOver\`, a second after Redis is back for good. Until then \`outageLasts\`, once a minute. An alert is: an \`outageBegan\` without \`outageOver\`. |
| What if it comes and goes? | Three lines of each kind and connection are written in a minute; \`repeated\` says at its end how many more there were. \`outageOver\` has the \`times\` that it broke. |
| Whom did it hurt? | Publishers and newcomers: \`refused\` commands were not carried out, \`unconfirmed\` publishes may or may not have been delivered. Both numbers count what clients try again. Those who are connected stay so. |
| What was lost? | \`gaps\` and \`resets\` in \`outageOver\`: that much their subscribers were told. 0 of both: all that was acknowledged has been delivered, \`late\` so much of it. \`redisRecovered\`: Redis had lost its data, and the nodes gave it back. |
| Is it this node, or all? | All nodes say \`outageBegan\` within a second or so where it is Redis, one alone where it is its network. |
| Who was turned away? | \`refusals\`, at most once a minute, for instance: \`In 60 s refused or closed: 3 authentications failed (2 × The token is not a signed JWT. 1 × Unknown API key.); 7 connections closed for reading too slowly.\` |

An outage of the connection \`durable\` or \`auth\` alone is told by its \`redisLost\` and \`redisConnected\` (with \`downMs\`): what needs it is refused meanwhile (publishes to topics of level durable, tickets), and all else goes on.
`;
