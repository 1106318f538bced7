/** A README outside the repository: its links must lead into the repository. */
import { posix } from 'node:path';
import type { Place } from './manifest.js';

/** Replaces relative links in a Markdown page of this package. Links to headings of the page stay. */
export function withAbsoluteLinks(text: string, { repository, directory }: Place): string {
  const absolute = (link: string): string => `${repository}/blob/main/${posix.join(directory, link)}`;
  return text
    .split(/^(```[\s\S]*?^```)/m)
    .map((part) =>
      part.startsWith('```')
        ? part
        : part.replace(
            /(\]\(|^\[[^\]]+\]:[ ]+)(?!\w+:|#)([^)\s]+)/gm,
            (_match, before: string, link: string) => before + absolute(link),
          ),
    )
    .join('');
}
