/** `fanfare topics`: the topics that have a history. */
import type { Command } from 'commander';
import { addBrokerOptions, type BrokerOptions, brokerOf } from '../broker.js';
import { declare } from '../command.js';
import { counted, jsonText, note, writeLine } from '../output.js';
import { topicInfo, topicsOf } from '../topic-info.js';
import { describe } from './tap.js';

interface Options extends BrokerOptions {
  readonly details?: true;
  readonly json?: true;
}

export function topicsCommand(): Command {
  const command = declare(
    'topics',
    'List the topics that have a history now. If the broker requires tokens, this needs the API key of a service.',
    [
      { command: 'fanfare topics', about: 'all of them' },
      { command: 'fanfare topics chat. --details', about: 'with level, position and number of subscribers' },
      { command: 'fanfare topics --json | jq -r .topic', about: 'an object for each' },
    ],
  )
    .argument('[prefix]', 'how their names begin', '')
    .option('--details', 'ask the nodes about each topic')
    .option('--json', 'print an object for each topic');
  return addBrokerOptions(command).action(list);
}

async function list(prefix: string, options: Options): Promise<void> {
  const broker = brokerOf(options);
  let count = 0;
  for await (const topic of topicsOf(broker, prefix)) {
    count++;
    if (!options.details) await writeLine(options.json ? jsonText({ topic }) : topic);
    else {
      const info = await topicInfo(broker, topic);
      const { position, ...rest } = info;
      await writeLine(options.json ? jsonText({ ...rest, ...position }) : `${topic}: ${describe(info)}`);
    }
  }
  if (!options.json && process.stdout.isTTY)
    note(`${counted(count, 'topic')} with a history. Topics of level fast have none.`);
}
