/** The files that Secrets and ConfigMaps become in the container of the broker, in a folder of this machine. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Manifest } from '@fanfare/local-cluster';
import { type Labels, ofKind, workloadsOf } from './objects.js';

/** By their paths in the container. */
export function mountedFiles(manifests: readonly Manifest[]): Record<string, string> {
  const files: Record<string, string> = {};
  for (const { title, template } of workloadsOf(manifests)) {
    if (title !== 'Deployment fanfare') continue;
    const { volumes = [], containers } = template.spec;
    for (const { name, mountPath } of containers.flatMap(({ volumeMounts = [] }) => volumeMounts)) {
      const volume = volumes.find((each) => each.name === name);
      const kind = volume?.secret === undefined ? 'ConfigMap' : 'Secret';
      const source = volume?.secret?.secretName ?? volume?.configMap?.name;
      const found = ofKind(manifests, kind).find(({ metadata }) => metadata.name === source);
      for (const [key, content] of Object.entries(contentOf(kind, found))) files[`${mountPath}/${key}`] = content;
    }
  }
  return files;
}

function contentOf(kind: string, found: Manifest | undefined): Record<string, string> {
  const { data = {}, stringData = {} } = (found ?? {}) as { readonly data?: Labels; readonly stringData?: Labels };
  const decoded = Object.entries(data).map(([key, value]) => [
    key,
    kind === 'Secret' ? Buffer.from(value, 'base64').toString() : value,
  ]);
  return { ...Object.fromEntries(decoded), ...stringData };
}

/** Calls `use` with the environment, in which the paths of these files are paths of this machine. The files are gone afterwards. */
export function withFiles<Result>(
  environment: Labels,
  files: Readonly<Record<string, string>>,
  use: (environment: Labels) => Result,
): Result {
  const folder = mkdtempSync(join(tmpdir(), 'fanfare-mounts-'));
  try {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), content);
    }
    const here = Object.entries(environment).map(([name, value]) => [
      name,
      value.replace(/^(@?)(\/run\/secrets\/.*)$/, (_, mark: string, path: string) => `${mark}${join(folder, path)}`),
    ]);
    return use(Object.fromEntries(here));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
