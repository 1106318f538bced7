/** Validates objects against the schemas of Kubernetes and of the CRDs, strictly: an unknown field is an error. */

import type { Manifest } from '@fanfare/local-cluster';
import { HTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1';
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1';
import { PrometheusRule, ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { Deployment, StatefulSet } from 'kubernetes-models/apps/v1';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2';
import { Job } from 'kubernetes-models/batch/v1';
import { Ingress, NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { ConfigMap, Namespace, Secret, Service, ServiceAccount } from 'kubernetes-models/v1';

interface Model {
  readonly apiVersion: string;
  readonly kind: string;
  readonly prototype: object;
}

const models: readonly Model[] = [
  ConfigMap,
  Deployment,
  HTTPRoute,
  HorizontalPodAutoscaler,
  Ingress,
  Job,
  Namespace,
  NetworkPolicy,
  PodDisruptionBudget,
  PrometheusRule,
  ScaledObject,
  Secret,
  Service,
  ServiceAccount,
  ServiceMonitor,
  StatefulSet,
];

/** The problems, one sentence each. */
export function wrongBySchema(manifest: Manifest): string[] {
  const { apiVersion, kind, metadata } = manifest;
  const name = `${kind} ${metadata.name}`;
  const model = models.find((each) => each.apiVersion === apiVersion && each.kind === kind);
  if (model === undefined) return [`${name}: there is no schema for ${apiVersion} ${kind}.`];
  const root = Object.assign(Object.create(model.prototype) as { validate(): void }, manifest);
  const reads = new Reads();
  const wrong: string[] = [];
  try {
    (reads.watch(root) as { validate(): void }).validate();
  } catch (error) {
    wrong.push(`${name}: ${(error as Error).message}.`);
  }
  for (const path of reads.unread(root, '')) wrong.push(`${name}: ${path} is not a field of the API, or has no value.`);
  return wrong;
}

/**
 * The validators accept unknown fields, as the schemas of Kubernetes do. But they read each field that they know, and
 * all fields of an object that allows any (labels). A field that they have not read is unknown.
 */
class Reads {
  readonly #watched = new Map<object, { readonly proxy: object; readonly fields: Set<string | symbol> }>();

  watch(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value;
    const known = this.#watched.get(value);
    if (known !== undefined) return known.proxy;
    const fields = new Set<string | symbol>();
    const proxy = new Proxy(value, {
      get: (target, field) => {
        fields.add(field);
        return this.watch(Reflect.get(target, field));
      },
      ownKeys: (target) => {
        const own = Reflect.ownKeys(target);
        for (const field of own) fields.add(field);
        return own;
      },
    });
    this.#watched.set(value, { proxy, fields });
    return proxy;
  }

  /** Also returns fields without a value: the validators accept `null` for any field, but it is a mistake. */
  *unread(value: unknown, path: string): Iterable<string> {
    if (typeof value !== 'object' || value === null) return;
    const fields = this.#watched.get(value)?.fields;
    for (const [field, child] of Object.entries(value)) {
      if (child === null) yield `${path}/${field}`;
      else if (fields?.has(field) === true) yield* this.unread(child, `${path}/${field}`);
      else yield `${path}/${field}`;
    }
  }
}
