/** Ids of the commands that a connection sends itself; those of requests come behind. */
export const connectId = 1;
export const pingId = 2;
export const refreshId = 3;
