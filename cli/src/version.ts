/** The version of this package. */
import { createRequire } from 'node:module';

// One folder above this file, in the repository and in the package.
export const { version } = createRequire(import.meta.url)('../package.json') as { readonly version: string };
