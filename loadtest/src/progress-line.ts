/** What a load does at this moment: at a terminal one line that is written over, else a line for each run. */
import type { Moment } from './load/result.js';

export class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  #isDirty = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  line(text: string): void {
    this.end();
    this.#stream.write(`${text}\n`);
  }

  moment({ atSeconds, publishedPerSecond, deliveriesPerSecond, connected, serverCpu, generatorCpu }: Moment): void {
    if (!this.#stream.isTTY) return;
    const count = (value: number): string => Math.round(value).toLocaleString('en-US');
    const percent = (share: number): string => `${Math.round(share * 100)} %`;
    this.#stream.write(
      `\r\u001b[K  ${atSeconds.toFixed(1)} s: ${count(publishedPerSecond)} published/s, ${count(deliveriesPerSecond)} delivered/s, ` +
        `${connected} connected, servers ${percent(serverCpu)}, generator ${percent(generatorCpu)}`,
    );
    this.#isDirty = true;
  }

  /** Ends the line that is written over. */
  end(): void {
    if (this.#isDirty) this.#stream.write('\r\u001b[K');
    this.#isDirty = false;
  }
}
