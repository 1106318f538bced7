/** What docs/app-guide.md asks its reader to do: the files to save and the commands to run, in order. */
import { readFileSync } from 'node:fs';

/** A file to save, or commands to type. */
type Step =
  | { readonly kind: 'file'; readonly path: string; readonly text: string }
  | { readonly kind: 'commands'; readonly text: string };

interface Section {
  readonly heading: string;
  readonly steps: readonly Step[];
}

const page = readFileSync(new URL('../../docs/app-guide.md', import.meta.url), 'utf8');

/**
 * A paragraph, and the code block that follows it. The paragraph names the file: at its start, or after "Save this as",
 * "Replace" or "First".
 */
const blockPattern = /((?:^(?!```).+\n)*)\n?^```(\w*)\n([\s\S]*?)^```$/gm;

export function readGuide(): Section[] {
  const [, ...parts] = page.split(/^## /m);
  return parts.map((part) => {
    const [heading = ''] = part.split('\n', 1);
    const steps = [...part.matchAll(blockPattern)].flatMap(([, before = '', language = '', text = '']): Step[] => {
      // Blocks without a language are output.
      if (language === '') return [];
      if (language === 'sh') return [{ kind: 'commands', text }];
      const path = /(?:Save this as |Replace |First |^)`([\w./-]+)`/.exec(before)?.[1];
      if (path === undefined) throw new Error(`The guide names no file for this block:\n${text}`);
      return [{ kind: 'file', path, text }];
    });
    return { heading, steps };
  });
}
