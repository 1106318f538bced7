/** Ids of the commands that a connection itself sends. Other requests use higher ids. */
export const connectId = 1;
export const pingId = 2;
export const refreshId = 3;
