/** Reads `result.json`. Any other file is refused with one sentence. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { type LoadResult, type ResultFile, resultFileSchema, resultVersion } from './result.js';

/** Throws an error whose message is one sentence that names the file and what is wrong with it. */
export async function readResultFile(file: string): Promise<ResultFile> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(`${file} cannot be read: ${(error as Error).message}.`);
  }
  return parseResultFile(file, text);
}

export function parseResultFile(file: string, text: string): ResultFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`${file} is not JSON.`);
  }
  const { version, results } = z.object({ version: z.unknown(), results: z.unknown() }).catch(nothing).parse(value);
  if (version === undefined) {
    throw new Error(`${file} is not a result file of a scenario: it has no version.`);
  }
  if (version !== 1 && version !== resultVersion) {
    throw new Error(
      `${file} has version ${JSON.stringify(version)} of the schema; this program reads 1 and ${resultVersion}.`,
    );
  }
  if (Array.isArray(results) && results.length === 0) throw new Error(`${file} holds no results.`);
  const read = resultFileSchema.safeParse({ ...(value as object), version: resultVersion });
  if (read.success) return version === 1 ? { ...read.data, results: read.data.results.map(fromVersion1) } : read.data;
  const [issue] = read.error.issues;
  throw new Error(`${file} is damaged: ${issue?.path.join('.')}: ${issue?.message}.`);
}

/** It has 0 for unknown values. */
function fromVersion1(result: LoadResult): LoadResult {
  const { serverCpuUs, redisCpuUs, serverRssBytes } = result;
  const unseen = {
    ...(serverCpuUs === null ? { serverCpu: null } : {}),
    ...(redisCpuUs === null ? { redisCpu: null } : {}),
    ...(serverRssBytes === null ? { serverRssBytes: null } : {}),
  };
  return { ...result, moments: result.moments.map((moment) => ({ ...moment, ...unseen })) };
}

const nothing = { version: undefined, results: undefined };
