/** The lifecycle of pods in a Deployment: environment, probes, shutdown, replacement. */
import type { Manifest } from '@fanfare/local-cluster';
import { z } from 'zod';

/** An HTTP probe of the kubelet. */
export interface Probe {
  readonly path: string;
  readonly periodSeconds: number;
  readonly timeoutSeconds: number;
  /** The probe fails after this many failures in a row. */
  readonly failureThreshold: number;
}

export interface DeploymentSpec {
  readonly name: string;
  readonly replicas: number;
  /** During a replacement, there may be this many more pods, and this many fewer available ones. */
  readonly maxSurge: number;
  readonly maxUnavailable: number;
  /** The time for which a pod must be ready before it counts as available. */
  readonly minReadySeconds: number;
  readonly terminationGracePeriodSeconds: number;
  /** The time from the start of a pod's termination to its SIGTERM. */
  readonly preStopSeconds: number;
  readonly startupProbe: Probe;
  readonly readinessProbe: Probe;
  readonly livenessProbe: Probe;
  /** The environment of the only container, with references resolved. It depends on the name of the pod. */
  environment(podName: string): Readonly<Record<string, string>>;
}

const named = z.object({ name: z.string() });
const probe = z.object({
  // Probes use the admin port; a policy in k8s/test checks that.
  httpGet: z.object({ path: z.string() }),
  periodSeconds: z.number().default(10),
  timeoutSeconds: z.number().default(1),
  failureThreshold: z.number().default(3),
});
const keyOf = z.object({ name: z.string(), key: z.string(), optional: z.boolean().default(false) });
const variable = z.object({
  name: z.string(),
  value: z.string().optional(),
  valueFrom: z
    .object({
      fieldRef: z.object({ fieldPath: z.string() }).optional(),
      configMapKeyRef: keyOf.optional(),
      secretKeyRef: keyOf.optional(),
    })
    .optional(),
});
const amount = z.union([z.number(), z.string().regex(/^\d+%$/)]);
const deployment = z.object({
  metadata: named,
  spec: z.object({
    replicas: z.number().optional(),
    minReadySeconds: z.number().default(0),
    strategy: z.object({
      type: z.literal('RollingUpdate'),
      rollingUpdate: z.object({ maxSurge: amount, maxUnavailable: amount }),
    }),
    template: z.object({
      spec: z.object({
        terminationGracePeriodSeconds: z.number().default(30),
        containers: z.tuple([
          z.object({
            envFrom: z.array(z.object({ configMapRef: named.optional(), secretRef: named.optional() })).default([]),
            env: z.array(variable).default([]),
            lifecycle: z.object({ preStop: z.object({ sleep: z.object({ seconds: z.number() }) }) }),
            startupProbe: probe,
            readinessProbe: probe,
            livenessProbe: probe,
          }),
        ]),
      }),
    }),
  }),
});
const autoscaler = z.object({ spec: z.object({ minReplicas: z.number() }) });
const data = z.object({
  metadata: named,
  data: z.record(z.string(), z.string()).default({}),
  stringData: z.record(z.string(), z.string()).default({}),
});

/**
 * Reads the only Deployment of an overlay, and the objects that its environment refers to. Throws if one is missing.
 */
export function readDeployment(manifests: readonly Manifest[]): DeploymentSpec {
  const [found, ...others] = manifests.filter(({ kind }) => kind === 'Deployment');
  if (found === undefined || others.length > 0) throw new Error('There must be one Deployment.');
  const { metadata, spec } = deployment.parse(found);
  const { containers, terminationGracePeriodSeconds } = spec.template.spec;
  const [container] = containers;
  const read = ({ httpGet, ...rest }: z.infer<typeof probe>): Probe => ({
    ...rest,
    path: httpGet.path,
  });
  const { rollingUpdate } = spec.strategy;
  // If there is an autoscaler, it sets the number.
  const scaler = manifests.find(({ kind }) => kind === 'HorizontalPodAutoscaler');
  const replicas = spec.replicas ?? (scaler === undefined ? 1 : autoscaler.parse(scaler).spec.minReplicas);
  return {
    name: metadata.name,
    replicas,
    // Kubernetes rounds maxSurge up and maxUnavailable down.
    maxSurge: countOf(rollingUpdate.maxSurge, replicas, Math.ceil),
    maxUnavailable: countOf(rollingUpdate.maxUnavailable, replicas, Math.floor),
    minReadySeconds: spec.minReadySeconds,
    terminationGracePeriodSeconds,
    preStopSeconds: container.lifecycle.preStop.sleep.seconds,
    startupProbe: read(container.startupProbe),
    readinessProbe: read(container.readinessProbe),
    livenessProbe: read(container.livenessProbe),
    environment: (podName) => environmentOf(container, manifests, podName),
  };
}

function countOf(value: number | string, replicas: number, round: (value: number) => number): number {
  return typeof value === 'number' ? value : round((Number.parseInt(value, 10) / 100) * replicas);
}

function environmentOf(
  { envFrom, env }: Pick<z.infer<typeof deployment>['spec']['template']['spec']['containers'][0], 'envFrom' | 'env'>,
  manifests: readonly Manifest[],
  podName: string,
): Record<string, string> {
  const values: Record<string, string> = {};
  for (const { configMapRef, secretRef } of envFrom) {
    if (configMapRef !== undefined) Object.assign(values, contentOf(manifests, 'ConfigMap', configMapRef.name));
    if (secretRef !== undefined) Object.assign(values, contentOf(manifests, 'Secret', secretRef.name));
  }
  for (const { name, value = '', valueFrom } of env) {
    const { fieldRef, configMapKeyRef, secretKeyRef } = valueFrom ?? {};
    if (fieldRef !== undefined) {
      if (fieldRef.fieldPath !== 'metadata.name')
        throw new Error(`${name}: this program does not know the field ${fieldRef.fieldPath}.`);
      values[name] = podName;
    } else if (configMapKeyRef !== undefined) {
      assign(values, name, contentOf(manifests, 'ConfigMap', configMapKeyRef.name), configMapKeyRef);
    } else if (secretKeyRef !== undefined) {
      assign(values, name, contentOf(manifests, 'Secret', secretKeyRef.name), secretKeyRef);
    } else {
      // As in the kubelet, a value may refer to earlier variables.
      values[name] = value.replace(/\$\(([^)]+)\)/g, (text, other: string) => values[other] ?? text);
    }
  }
  return values;
}

function assign(
  values: Record<string, string>,
  name: string,
  content: Readonly<Record<string, string>> | null,
  { key, optional, name: from }: z.infer<typeof keyOf>,
): void {
  const value = content?.[key];
  if (value !== undefined) values[name] = value;
  else if (content !== null && !optional) throw new Error(`${name}: ${from} has no key "${key}".`);
}

/** Null if the overlay does not contain it: the operator creates it. */
function contentOf(
  manifests: readonly Manifest[],
  kind: 'ConfigMap' | 'Secret',
  name: string,
): Record<string, string> | null {
  const found = manifests.find((each) => each.kind === kind && each.metadata.name === name);
  if (found === undefined) return null;
  const { data: plain, stringData } = data.parse(found);
  const decoded = Object.entries(plain).map(([key, value]) => [
    key,
    kind === 'Secret' ? Buffer.from(value, 'base64').toString() : value,
  ]);
  return { ...Object.fromEntries(decoded), ...stringData };
}
