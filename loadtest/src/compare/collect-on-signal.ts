/**
 * Loaded into a server before its own code: collects garbage when it gets SIGUSR2. An idle process keeps or drops megabytes
 * of garbage as V8 pleases, more than its subscribers hold; what they hold is what stays.
 */
const collect = globalThis.gc;
if (collect !== undefined) process.on('SIGUSR2', () => collect());
