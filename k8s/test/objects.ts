/** The parts of objects that policies check: workloads, their containers, ports and selectors. */
import type { Manifest } from '@fanfare/local-cluster';

export type Labels = Readonly<Record<string, string>>;

export interface Port {
  readonly name?: string;
  readonly port?: number | string;
  readonly containerPort?: number;
  readonly targetPort?: number | string;
}

interface Probe {
  readonly httpGet?: { readonly path: string; readonly port: string | number };
  readonly exec?: unknown;
  readonly tcpSocket?: { readonly port: string | number };
  readonly periodSeconds?: number;
  readonly failureThreshold?: number;
}

interface SecurityContext {
  readonly runAsNonRoot?: boolean;
  readonly runAsUser?: number;
  readonly seccompProfile?: { readonly type: string };
  readonly allowPrivilegeEscalation?: boolean;
  readonly readOnlyRootFilesystem?: boolean;
  readonly privileged?: boolean;
  readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] };
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly ports?: readonly Port[];
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: Refs }[];
  readonly envFrom?: readonly { readonly configMapRef?: Ref; readonly secretRef?: Ref }[];
  readonly resources?: { readonly requests?: Labels; readonly limits?: Labels };
  readonly securityContext?: SecurityContext;
  readonly startupProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[];
}

export interface Ref {
  readonly name: string;
  readonly key?: string;
}

interface Refs {
  readonly configMapKeyRef?: Ref;
  readonly secretKeyRef?: Ref;
}

interface PodTemplate {
  readonly metadata: { readonly labels: Labels };
  readonly spec: {
    readonly automountServiceAccountToken?: boolean;
    readonly enableServiceLinks?: boolean;
    readonly serviceAccountName?: string;
    readonly securityContext?: SecurityContext;
    readonly hostNetwork?: boolean;
    readonly hostPID?: boolean;
    readonly hostIPC?: boolean;
    readonly containers: readonly Container[];
    readonly initContainers?: readonly Container[];
    readonly volumes?: readonly {
      readonly name: string;
      readonly configMap?: Ref;
      readonly secret?: { readonly secretName: string };
    }[];
    readonly topologySpreadConstraints?: readonly {
      readonly topologyKey: string;
      readonly labelSelector?: Selector;
      readonly matchLabelKeys?: readonly string[];
    }[];
    readonly terminationGracePeriodSeconds?: number;
  };
}

export interface Selector {
  readonly matchLabels?: Labels;
}

/** The kinds that create pods. */
interface Workload {
  readonly manifest: Manifest;
  readonly template: PodTemplate;
  readonly title: string;
}

export function ofKind(manifests: readonly Manifest[], kind: string): Manifest[] {
  return manifests.filter((manifest) => manifest.kind === kind);
}

export function workloadsOf(manifests: readonly Manifest[]): Workload[] {
  return ['Deployment', 'StatefulSet', 'Job'].flatMap((kind) =>
    ofKind(manifests, kind).map((manifest) => {
      const { template } = manifest['spec'] as { template: PodTemplate };
      return { manifest, template, title: `${kind} ${manifest.metadata.name}` };
    }),
  );
}

export function containersOf(manifests: readonly Manifest[]): { title: string; container: Container }[] {
  return workloadsOf(manifests).flatMap(({ title, template }) =>
    template.spec.containers.map((container) => ({ title, container })),
  );
}

export function brokersOf(manifests: readonly Manifest[]): Container[] {
  return containersOf(manifests).flatMap(({ title, container }) => (title === 'Deployment fanfare' ? [container] : []));
}

export function hasPort({ spec }: PodTemplate, port: number | string | undefined): boolean {
  return spec.containers.some(({ ports = [] }) =>
    ports.some(({ name, containerPort }) => name === port || containerPort === port),
  );
}

export function matches(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(([name, value]) => labels[name] === value);
}

/** False for an empty selector, which would select all pods. */
export function selects(selector: Selector | undefined, labels: Labels): boolean {
  const wanted = selector?.matchLabels ?? {};
  return Object.keys(wanted).length > 0 && matches(wanted, labels);
}

export function claimsOf(manifests: readonly Manifest[]): string[] {
  return ofKind(manifests, 'StatefulSet').flatMap(({ spec }) =>
    ((spec as { volumeClaimTemplates?: readonly Manifest[] }).volumeClaimTemplates ?? []).map(
      ({ metadata }) => metadata.name,
    ),
  );
}

export function backendsOf(
  manifests: readonly Manifest[],
): { from: string; service: string; port: number | string | undefined }[] {
  const routes = ofKind(manifests, 'HTTPRoute').flatMap((route) => {
    const { rules } = route['spec'] as { rules: readonly { backendRefs: readonly { name: string; port: number }[] }[] };
    return rules.flatMap(({ backendRefs }) =>
      backendRefs.map(({ name, port }) => ({ from: 'The HTTPRoute', service: name, port })),
    );
  });
  const ingresses = ofKind(manifests, 'Ingress').flatMap((ingress) => {
    const { rules } = ingress['spec'] as {
      rules: readonly {
        http: { paths: readonly { backend: { service: { name: string; port: Port & { number?: number } } } }[] };
      }[];
    };
    return rules.flatMap(({ http }) =>
      http.paths.map(({ backend: { service } }) => ({
        from: 'The Ingress',
        service: service.name,
        port: service.port.name ?? service.port.number,
      })),
    );
  });
  return [...routes, ...ingresses];
}

export function mebibytes(quantity: string): number {
  const [, number, unit] = /^(\d+)(Mi|Gi)$/.exec(quantity) ?? [];
  return Number(number) * (unit === 'Gi' ? 1_024 : 1);
}

/** Paths that are exposed. */
export function pathsOf(manifests: readonly Manifest[]): { from: string; path: string; isExact: boolean }[] {
  const routes = ofKind(manifests, 'HTTPRoute').flatMap((route) => {
    const { rules } = route['spec'] as {
      rules: readonly { matches?: readonly { path?: { type?: string; value?: string } }[] }[];
    };
    // A rule without matches applies to all paths.
    return rules.flatMap(({ matches: of = [{}] }) =>
      of.map(({ path = {} }) => ({
        from: 'The HTTPRoute',
        path: path.value ?? '/',
        isExact: path.type === 'Exact',
      })),
    );
  });
  const ingresses = ofKind(manifests, 'Ingress').flatMap((ingress) => {
    const { rules } = ingress['spec'] as {
      rules: readonly { http: { paths: readonly { path?: string; pathType: string }[] } }[];
    };
    return rules.flatMap(({ http }) =>
      http.paths.map(({ path = '/', pathType }) => ({ from: 'The Ingress', path, isExact: pathType === 'Exact' })),
    );
  });
  return [...routes, ...ingresses];
}
