/** The generator's process: opens crowds and runs them as its parent tells it to. */
import { Crowd } from './crowd.js';
import type { GeneratorAnswer, GeneratorCommand } from './generator-process.js';
import { createWire } from './wires.js';

const crowds = new Map<string, Crowd>();

async function carryOut(command: GeneratorCommand): Promise<GeneratorAnswer> {
  switch (command.type) {
    case 'open': {
      const { port, wire, publicationBytes, crowd } = command;
      const target = { port, wire: createWire(wire, publicationBytes), publicationBytes };
      crowds.set(crowd.topic, await Crowd.open(target, crowd));
      return { type: 'opened' };
    }
    case 'run': {
      const crowd = crowds.get(command.topic);
      if (crowd === undefined) throw new Error(`No crowd was opened for ${command.topic}.`);
      return { type: 'ran', result: await crowd.run(command.run) };
    }
  }
}

process.on('message', (command: GeneratorCommand) => {
  void carryOut(command)
    .catch((error: Error): GeneratorAnswer => ({ type: 'failed', message: error.message }))
    .then((answer) => process.send?.(answer));
});

// The parent is gone: so is the reason to be here.
process.on('disconnect', () => process.exit());
