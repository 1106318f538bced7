/** The files that Secrets and ConfigMaps become in the container of the broker, in a folder of this machine. */
import { basename } from 'node:path';
import type { Manifest } from '@fanfare/local-cluster';
import { MountedFolder } from '../../broker/test/mounted-folder.js';
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

/** The environment, in which these files are where `place` says for the path in the container. */
export function environmentWith(environment: Labels, place: (path: string) => string): Labels {
  const here = Object.entries(environment).map(([name, value]) => {
    const [, mark = '', path] = /^(@?)(\/run\/secrets\/.*)$/.exec(value) ?? [];
    return [name, path === undefined ? value : `${mark}${place(path)}`];
  });
  return Object.fromEntries(here);
}

/** Calls `use` with the environment, for which the files are there until it returns. */
export function withFiles<Result>(
  environment: Labels,
  files: Readonly<Record<string, string>>,
  use: (environment: Labels) => Result,
): Result {
  using folder = new MountedFolder(
    Object.fromEntries(Object.entries(files).map(([path, content]) => [basename(path), content])),
  );
  // One that is not mounted is nowhere.
  return use(environmentWith(environment, (path) => (path in files ? folder.file(basename(path)) : path)));
}
