/** A Fanfare node, to be started inside another program. */
export { type Broker, startBroker } from './broker.js';
export { type Config, ConfigError, loadConfig } from './config.js';
export { createLog, type Log } from './log.js';
