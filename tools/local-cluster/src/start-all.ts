/** Several processes at once. */

/** Resolves once all have started. If one fails to start, it ends the others and rejects with that error. */
export async function startAll<Started extends AsyncDisposable>(
  starts: readonly Promise<Started>[],
): Promise<readonly Started[]> {
  const results = await Promise.allSettled(starts);
  const failure = results.find((result) => result.status === 'rejected');
  const started = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  if (failure === undefined) return started;
  await endAll(started);
  throw failure.reason;
}

export async function endAll(started: readonly AsyncDisposable[]): Promise<void> {
  await Promise.all(started.map((process) => process[Symbol.asyncDispose]()));
}
