/** A Fanfare node, to be started inside another program. */
export { type Broker, startBroker } from './node/broker.js';
export { createLog, type Log } from './observe/log.js';
export { type Config, ConfigError, loadConfig } from './settings/config.js';
