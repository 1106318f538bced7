/** The log: JSON lines for machines, readable lines for a person at a terminal. */
import { type DestinationStream, type Logger, pino } from 'pino';
import pretty from 'pino-pretty';

export type Log = Logger;

export interface LogSettings {
  readonly logLevel: string;
  readonly logFormat: 'json' | 'pretty' | null;
  readonly nodeName: string;
}

/** Each line carries `node`, and `event`: a stable name for what happened, to search and alert by. */
export function createLog(settings: LogSettings, destination?: DestinationStream): Log {
  const options = { level: settings.logLevel, base: { node: settings.nodeName } };
  const format = settings.logFormat ?? (process.stdout.isTTY ? 'pretty' : 'json');
  if (destination !== undefined) return pino(options, destination);
  return format === 'pretty' ? pino(options, pretty({ ignore: 'node,event', sync: true })) : pino(options);
}
