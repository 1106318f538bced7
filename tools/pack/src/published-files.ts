/**
 * `npm pack` reads package.json, README.md and LICENSE from the folder of the workspace. While it reads them, the
 * published ones are there, and the workspace's own ones are in `.pack`.
 */
import { copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

interface PublishedFiles {
  readonly 'package.json': string;
  readonly 'README.md': string;
  /** A workspace has no file of this name. */
  readonly LICENSE: string;
}

const own = ['package.json', 'README.md'] as const;

export async function putPublishedFiles(folder: string, files: PublishedFiles): Promise<void> {
  await mkdir(join(folder, '.pack'));
  for (const name of own) {
    const copy = join(folder, '.pack', name);
    // An interruption must leave no half of a file under the name that restoreFiles() looks for.
    await copyFile(join(folder, name), `${copy}.partial`);
    await rename(`${copy}.partial`, copy);
  }
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
}

/** Does nothing if the workspace's own files are in place. */
export async function restoreFiles(folder: string): Promise<void> {
  for (const name of own) {
    await rename(join(folder, '.pack', name), join(folder, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
  for (const name of ['LICENSE', '.pack']) await rm(join(folder, name), { recursive: true, force: true });
}
