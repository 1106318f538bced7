/** Many tests start processes from the output of `npm run build`. Without it, they would fail only after minutes. */
import { existsSync } from 'node:fs';

export default function checkBuild(): void {
  if (!existsSync(new URL('../broker/dist/main.js', import.meta.url)))
    throw new Error('This checkout has not been built. Run "npm run build", then run the tests again.');
}
