/** Text in HTML. */

export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

interface TableOptions {
  readonly caption?: string;
  readonly classOf?: (line: number) => string;
}

/** A table that scrolls by itself, with the keyboard too; numbers are right-aligned. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { caption, classOf }: TableOptions = {},
): string {
  const isNumeric = head.map((_, column) => rows.every((row) => /^[-\d,./ %]*$/.test(row[column] ?? '')));
  const cell = (tag: 'th' | 'td', text: string, column: number): string =>
    `<${tag}${tag === 'th' ? ' scope="col"' : ''}${isNumeric[column] ? ' class="number"' : ''}>${escapeHtml(text)}</${tag}>`;
  const line = (row: readonly string[], index: number): string => {
    const name = classOf?.(index) ?? '';
    const cells = row.map((text, column) => cell('td', text, column)).join('');
    return `<tr${name === '' ? '' : ` class="${name}"`}>${cells}</tr>`;
  };
  const titles = head.map((text, column) => cell('th', text, column)).join('');
  return `<div class="table" tabindex="0" role="region" aria-label="${escapeHtml(caption ?? 'Numbers')}"><table>${caption === undefined ? '' : `<caption>${escapeHtml(caption)}</caption>`}<thead><tr>${titles}</tr></thead><tbody>${rows.map(line).join('\n')}</tbody></table></div>`;
}
