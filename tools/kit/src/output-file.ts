/** Output files of a command: it checks them before the work, and reports them after it. */
import { access, constants, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { UsageError } from './options.js';

/** Throws a {@link UsageError} if the file cannot be written. Call it before an hour of load, not after it. */
export async function checkOutput(file: string): Promise<void> {
  const found = await stat(file).catch(() => null);
  if (found?.isDirectory()) throw new UsageError(`${file} is a folder: name a file in it.`);
  const folder = dirname(file);
  // The dot also refuses a path that is not a folder.
  await access(found === null ? `${folder}/.` : file, constants.W_OK).catch(() => {
    const reason =
      found === null ? `there is no folder ${folder}, or nobody may write to it` : 'nobody may write to it';
    throw new UsageError(`${file} cannot be written: ${reason}.`);
  });
}

/** Reports that the file was written, or why not, and returns which. If not, the command fails. */
export async function writeOutput(file: string, make: () => string | Promise<string>): Promise<boolean> {
  try {
    await replace(file, await make());
    process.stderr.write(`Wrote ${file}.\n`);
    return true;
  } catch (error) {
    process.stderr.write(`${file} could not be written: ${(error as Error).message}.\n`);
    process.exitCode = 1;
    return false;
  }
}

/** The old content stays until all of the new content is written. A special file (/dev/stdout) is written directly. */
async function replace(file: string, content: string): Promise<void> {
  const found = await stat(file).catch(() => null);
  if (found !== null && !found.isFile()) return await writeFile(file, content);
  const part = `${file}.${process.pid}.part`;
  try {
    await writeFile(part, content);
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

/** Writes results to standard output if the file cannot be written, so that they are not lost. */
export async function writeMeasured(file: string, json: string): Promise<void> {
  if (!(await writeOutput(file, () => json))) process.stdout.write(json);
}
