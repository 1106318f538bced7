/** The objects of an overlay in k8s/, as `kubectl` would send them to a cluster. */
import { execFile, spawnSync } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';

/** A Kubernetes object. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** Whether `kubectl` is available. */
export function hasKubectl(): boolean {
  return spawnSync('kubectl', ['version', '--client']).status === 0;
}

const k8s = fileURLToPath(new URL('../../../k8s/', import.meta.url));

/** `overlay`: a folder of k8s/overlays. Needs `kubectl`, but no cluster. Rejects with the error of `kubectl`. */
export async function renderOverlay(overlay: string): Promise<Manifest[]> {
  const overlays = await readdir(`${k8s}overlays`);
  if (!overlays.includes(overlay))
    throw new Error(`There is no overlay "${overlay}" in k8s/overlays, only ${overlays.toSorted().join(', ')}.`);
  return await renderKustomization(`${k8s}overlays/${overlay}`);
}

/** `folder`: any folder with a kustomization.yaml. */
export async function renderKustomization(folder: string): Promise<Manifest[]> {
  const { stdout } = await promisify(execFile)('kubectl', ['kustomize', folder], { maxBuffer: 16 * 1_048_576 }).catch(
    (error: NodeJS.ErrnoException & { readonly stderr?: string }) => {
      if (error.code === 'ENOENT')
        throw new Error('kubectl is not on the PATH. It is needed to render the manifests in k8s/.');
      // It writes: E1124 18:24:23 run.go:72] "command failed" err="what is wrong"
      const [, reason = error.stderr?.trim() || error.message] = /err="(.*)"\s*$/s.exec(error.stderr ?? '') ?? [];
      throw new Error(`kubectl kustomize ${folder}: ${reason}`);
    },
  );
  return parseAllDocuments(stdout, { uniqueKeys: true }).map((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw error;
    return document.toJS() as Manifest;
  });
}
