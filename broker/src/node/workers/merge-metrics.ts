/** Merges the metrics of several workers into one text. */

interface Family {
  readonly comments: readonly string[];
  readonly samples: string[];
}

/**
 * Merges texts in Prometheus' format whose samples differ by a label. The format requires all samples of a metric
 * together, after one comment.
 */
export function mergeMetrics(texts: readonly string[]): string {
  const families = new Map<string, Family>();
  for (const text of texts) {
    for (const block of text.split(/^(?=# HELP )/m)) {
      const lines = block.split('\n').filter((line) => line !== '');
      const comments = lines.filter((line) => line.startsWith('# '));
      const samples = lines.filter((line) => !line.startsWith('# '));
      const name = comments[0]?.split(' ')[2];
      if (name === undefined) continue;
      const known = families.get(name);
      if (known === undefined) families.set(name, { comments, samples });
      else known.samples.push(...samples);
    }
  }
  return [...families.values()].map(({ comments, samples }) => `${[...comments, ...samples].join('\n')}\n`).join('\n');
}
