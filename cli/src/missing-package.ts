/** Packages that an installation may lack: not every user needs what they bring. */

/** Whether an import failed because this package is not installed, and not because of something that it imports. */
export function isMissing(name: string, error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ERR_MODULE_NOT_FOUND' && message.includes(`'${name}'`);
}
