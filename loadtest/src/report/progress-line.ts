/**
 * Shows the progress of a load: at a terminal in one line that is overwritten, otherwise in a new line every ten
 * seconds.
 */
import type { Moment } from '../load/result.js';
import { count } from './load-table.js';

/** If lines stay on the screen, one line for this many moments of half a second. */
const momentsPerLine = 20;

type Output = Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'write'>;

export class ProgressLine {
  #isDirty = false;
  #moments = 0;

  constructor(private readonly stream: Output) {}

  line(text: string): void {
    this.end();
    this.stream.write(`${text}\n`);
    this.#moments = 0;
  }

  moment(moment: Moment): void {
    if (this.stream.isTTY) {
      // A line that wraps cannot be overwritten.
      this.stream.write(`\r\u001b[K${describe(moment).slice(0, this.stream.columns - 1)}`);
      this.#isDirty = true;
    } else if (++this.#moments % momentsPerLine === 0) {
      this.stream.write(`${describe(moment)}\n`);
    }
  }

  /** Ends the line that is overwritten. */
  end(): void {
    if (this.#isDirty) this.stream.write('\r\u001b[K');
    this.#isDirty = false;
  }
}

function describe(moment: Moment): string {
  const { atSeconds, publishedPerSecond, deliveriesPerSecond, connected, serverCpu, generatorCpu } = moment;
  return (
    `  ${atSeconds.toFixed(1)} s: ${count(publishedPerSecond)} published/s, ${count(deliveriesPerSecond)} delivered/s, ` +
    `${connected} connected, ${serverCpu === null ? '' : `servers ${percent(serverCpu)}, `}generator ${percent(generatorCpu)}`
  );
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
