/**
 * Loaded into a server before its own code: collects garbage when it gets SIGUSR2. Otherwise an idle process may keep
 * megabytes of garbage, more than its subscribers use. After a collection, only used memory remains.
 */
const collect = globalThis.gc;
if (collect !== undefined) process.on('SIGUSR2', () => collect());
