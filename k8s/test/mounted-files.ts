/** The files of Secrets and ConfigMaps that are mounted in the container of the broker, in a local folder. */
import { basename } from 'node:path';
import type { Manifest } from '@fanfare/local-cluster';
import { MountedFolder } from '../../broker/test/mounted-folder.js';
import { type Labels, ofKind, workloadsOf } from './objects.js';

/** Contents by their paths in the container. */
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

/** The environment, with paths in the container replaced by those that `place` returns. */
export function environmentWith(environment: Labels, place: (path: string) => string): Labels {
  const here = Object.entries(environment).map(([name, value]) => {
    const [, mark = '', path] = /^(@?)(\/run\/secrets\/.*)$/.exec(value) ?? [];
    return [name, path === undefined ? value : `${mark}${place(path)}`];
  });
  return Object.fromEntries(here);
}

/** Calls `use` with the environment. The files exist until it returns. */
export function withFiles<Result>(
  environment: Labels,
  files: Readonly<Record<string, string>>,
  use: (environment: Labels) => Result,
): Result {
  using folder = new MountedFolder(
    Object.fromEntries(Object.entries(files).map(([path, content]) => [basename(path), content])),
  );
  // A file that is not mounted does not exist.
  return use(environmentWith(environment, (path) => (path in files ? folder.file(basename(path)) : path)));
}
