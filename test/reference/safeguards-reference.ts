/** The generated page of safeguards. */
import { safeguards } from '../safeguards/safeguards.js';
import { page, table } from './table.js';

export function safeguardsPage(): string {
  return page('Safeguards', '[guarantees.md](../guarantees.md#safeguards) explains what they protect.', [
    table(
      ['safeguard', 'what it is for', 'test that fails without it'],
      safeguards.map(({ name, about, testFile, test }) => [name, about, `\`${testFile}\`: ${test}`]),
    ),
  ]);
}
