/**
 * Rules that no schema contains: our objects must match each other, the broker's settings, and each other's timeouts.
 */
import type { Manifest } from '@fanfare/local-cluster';
import { maxWaitSeconds } from '../../broker/src/http/history-request.js';
import { longestDrainMs } from '../../broker/src/node/drain.js';
import { addressesOf, readPlacement } from '../../broker/src/redis/placement.js';
import { loadConfig, sentencesOf } from '../../broker/src/settings/config.js';
import { CertificateFolder } from '../../broker/test/certificates.js';
import { readDeployment } from '../../tools/verify/src/rollout/deployment-spec.js';
import { mountedFiles, withFiles } from './mounted-files.js';
import {
  backendsOf,
  brokersOf,
  claimsOf,
  containersOf,
  hasPort,
  type Labels,
  matches,
  mebibytes,
  ofKind,
  type Port,
  pathsOf,
  type Ref,
  type Selector,
  selects,
  workloadsOf,
} from './objects.js';

interface Policy {
  readonly name: string;
  /** The problems, one sentence each. */
  check(manifests: readonly Manifest[]): Iterable<string>;
}

function testCertificate(): string {
  using folder = new CertificateFolder('redis-ca');
  return folder.ca.toString();
}

/** Settings that the overlays leave to the operator, with example values. Without them no node starts. */
export const promisedSettings: Labels = { FANFARE_TRUSTED_PROXIES: '10.42.7.0/28' };

/** Secrets that the operator creates as k8s/README.md describes, with their content. */
export const promisedSecrets: Readonly<Record<string, Labels>> = {
  fanfare: {
    'redis-url': 'rediss://fanfare:secret@redis.example.com:6380',
    'redis-password': 'secret',
    'redis-ca.crt': testCertificate(),
    auth: '{"apiKeys":[{"id":"orders","sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","permissions":{"publish":[">"]}}]}',
  },
  'fanfare-tls': { 'tls.crt': '', 'tls.key': '' },
};

/** The paths that clients need, and whether without those below them. */
const publicPaths: ReadonlyMap<string, boolean> = new Map([
  ['/ws', true],
  ['/v1/events', true],
  ['/v1/topics', false],
  ['/v1/publications', true],
  ['/v1/commands', true],
  ['/v1/tickets', true],
  ['/v1/openapi.json', true],
]);

/** Those whose requests last for hours. */
const endlessPaths = ['/ws', '/v1/events'];

export const policies: readonly Policy[] = [
  {
    name: 'images are pinned to a version',
    *check(manifests) {
      for (const { title, container } of containersOf(manifests)) {
        const { image } = container;
        const tag = /(?:@sha256:[0-9a-f]{64}|:(\d[\w.-]*))$/.exec(image);
        if (tag === null) yield `${title}: the image ${image} has no version.`;
      }
    },
  },
  {
    name: 'pods are restricted',
    *check(manifests) {
      for (const { title, template } of workloadsOf(manifests)) {
        const pod = template.spec;
        if (pod.securityContext?.runAsNonRoot !== true) yield `${title} may run as root.`;
        if (pod.securityContext?.seccompProfile?.type !== 'RuntimeDefault') yield `${title} has no seccomp profile.`;
        for (const field of ['hostNetwork', 'hostPID', 'hostIPC'] as const)
          if (pod[field] === true) yield `${title} has ${field}.`;
        if (pod.securityContext?.runAsUser === 0) yield `${title} runs as root.`;
        if (pod.automountServiceAccountToken !== false) yield `${title} has a token for the API of Kubernetes.`;
        for (const { name, securityContext = {} } of [...pod.containers, ...(pod.initContainers ?? [])]) {
          if (securityContext.runAsUser === 0 || securityContext.runAsNonRoot === false)
            yield `${title}: ${name} runs as root.`;
          const { capabilities = {} } = securityContext;
          if (securityContext.privileged === true) yield `${title}: ${name} is privileged.`;
          if (securityContext.allowPrivilegeEscalation !== false) yield `${title}: ${name} may gain privileges.`;
          if (securityContext.readOnlyRootFilesystem !== true) yield `${title}: ${name} can write to its image.`;
          if (!capabilities.drop?.includes('ALL') || (capabilities.add ?? []).length > 0)
            yield `${title}: ${name} has capabilities.`;
        }
      }
    },
  },
  {
    name: 'containers request the resources that they need',
    *check(manifests) {
      for (const { title, container } of containersOf(manifests)) {
        const { requests = {}, limits = {} } = container.resources ?? {};
        if (requests['cpu'] === undefined) yield `${title} requests no CPU.`;
        if (requests['memory'] === undefined || limits['memory'] === undefined) yield `${title} has no memory limit.`;
        // A throttled event loop makes all clients wait until the next period.
        if (limits['cpu'] !== undefined) yield `${title} has a CPU limit, which stops it in the middle of a fan-out.`;
      }
      for (const container of brokersOf(manifests)) {
        const { requests = {}, limits = {} } = container.resources ?? {};
        // Without an autoscaler, the overlay is for trying it out.
        if (requests['cpu'] !== '1' && isScaled(manifests))
          yield 'The broker requests a different share than the one CPU that its event loop can use.';
        if (requests['memory'] !== limits['memory']) yield 'The broker requests less memory than its limit.';
        const heap = container.env?.find(({ name }) => name === 'NODE_OPTIONS')?.value ?? '';
        const heapMebibytes = Number(/--max-old-space-size=(\d+)/.exec(heap)?.[1]);
        if (!(heapMebibytes <= 0.65 * mebibytes(limits['memory'] ?? '')))
          yield 'The heap of the broker leaves no memory for buffers.';
      }
    },
  },
  {
    name: 'settings match the resources and the scaling of the container',
    *check(manifests) {
      const config = configOf(manifests);
      if (config === null) return;
      for (const { resources } of brokersOf(manifests)) {
        const memory = mebibytes(resources?.limits?.['memory'] ?? '') * 1_048_576;
        const held = config.maxTotalBufferedBytes + config.recentBytes;
        if (held > memory / 4)
          yield `Unread bytes and recent publications may take ${held} bytes, more than a quarter of the memory.`;
      }
      for (const { title, perPod } of targetsOf(manifests)) {
        if (perPod > 0.75 * config.maxConnections)
          yield `${title} adds a pod at ${perPod} connections per pod, and a pod may have ${config.maxConnections}. If a pod stops, the others have no room for its connections.`;
      }
      const hasWayIn = [...ofKind(manifests, 'HTTPRoute'), ...ofKind(manifests, 'Ingress')].length > 0;
      if (hasWayIn && isAuthenticated(config) && (environmentOf(manifests)['FANFARE_TRUSTED_PROXIES'] ?? '') === '')
        yield 'FANFARE_TRUSTED_PROXIES is not set: all clients behind the gateway count as one address.';
    },
  },
  {
    name: 'probes check different things, and liveness does not depend on Redis',
    *check(manifests) {
      for (const container of brokersOf(manifests)) {
        const { startupProbe, livenessProbe, readinessProbe } = container;
        if (startupProbe?.httpGet === undefined) yield 'The broker has no startup probe.';
        const starts = (startupProbe?.periodSeconds ?? 10) * (startupProbe?.failureThreshold ?? 3);
        if (starts < 30) yield `The broker has ${starts} s to start; set at least 30.`;
        if (livenessProbe?.httpGet?.path !== '/healthz')
          yield 'The liveness of the broker is not /healthz: an outage of Redis would restart all pods.';
        if (readinessProbe?.httpGet?.path !== '/readyz') yield 'The readiness of the broker is not /readyz.';
        const bridged = (readinessProbe?.periodSeconds ?? 10) * (readinessProbe?.failureThreshold ?? 3);
        if (bridged < 60)
          yield `An outage of Redis of ${bridged} s takes all pods out of the Service; set at least 60.`;
        for (const probe of [startupProbe, livenessProbe, readinessProbe]) {
          const port = probe?.httpGet?.port;
          if (port !== undefined && port !== 'admin') yield `A probe of the broker uses port ${port}, not admin.`;
        }
      }
    },
  },
  {
    name: 'ports match those of the containers, by name and by number',
    *check(manifests) {
      const workloads = workloadsOf(manifests);
      for (const service of ofKind(manifests, 'Service')) {
        const { selector = {}, ports } = service['spec'] as { selector?: Labels; ports: readonly Port[] };
        const chosen = workloads.filter(({ template }) => matches(selector, template.metadata.labels));
        if (Object.keys(selector).length === 0 || chosen.length === 0)
          yield `Service ${service.metadata.name} selects no pods.`;
        for (const { targetPort, port } of ports) {
          for (const { title, template } of chosen) {
            if (!hasPort(template, targetPort ?? port))
              yield `Service ${service.metadata.name}: ${title} has no port ${targetPort ?? port}.`;
          }
        }
      }
      for (const container of brokersOf(manifests)) {
        const { port, adminPort } = configOf(manifests) ?? {};
        const numberOf = (wanted: string): number | undefined =>
          container.ports?.find(({ name }) => name === wanted)?.containerPort;
        if (port !== undefined && numberOf('ws') !== port)
          yield `The broker listens on ${port}, but its port ws is ${numberOf('ws')}.`;
        if (adminPort !== undefined && numberOf('admin') !== adminPort)
          yield `The broker has its admin port on ${adminPort}, but its port admin is ${numberOf('admin')}.`;
      }
      for (const { from, service, port } of backendsOf(manifests)) {
        const found = ofKind(manifests, 'Service').find(({ metadata }) => metadata.name === service);
        const ports = (found?.['spec'] as { ports?: readonly Port[] } | undefined)?.ports ?? [];
        if (found === undefined) yield `${from} routes to the Service ${service}, which does not exist.`;
        else if (!ports.some((each) => each.port === port || each.name === port))
          yield `${from} routes to port ${port} of the Service ${service}, which it does not have.`;
      }
      for (const policy of ofKind(manifests, 'NetworkPolicy')) {
        const { podSelector = {}, ingress = [] } = policy['spec'] as {
          podSelector?: Selector;
          ingress?: readonly { ports?: readonly Port[] }[];
        };
        for (const { title, template } of workloads.filter(({ template }) =>
          matches(podSelector.matchLabels ?? {}, template.metadata.labels),
        )) {
          for (const { port } of ingress.flatMap(({ ports = [] }) => ports)) {
            if (!hasPort(template, port)) yield `NetworkPolicy ${policy.metadata.name}: ${title} has no port ${port}.`;
          }
        }
      }
      for (const monitor of ofKind(manifests, 'ServiceMonitor')) {
        const { selector, endpoints } = monitor['spec'] as {
          selector: Selector;
          endpoints: readonly { port: string }[];
        };
        const services = ofKind(manifests, 'Service').filter(({ metadata }) =>
          matches(selector.matchLabels ?? {}, metadata.labels ?? {}),
        );
        if (services.length === 0) yield 'The ServiceMonitor selects no Service.';
        // Alerts and the dashboard find the nodes by the job fanfare.
        if (
          monitor['spec'] === null ||
          (monitor['spec'] as { jobLabel?: string }).jobLabel !== 'app.kubernetes.io/name'
        )
          yield 'The ServiceMonitor does not name its job after the app: no alert on `job` would fire.';
        for (const service of services) {
          for (const { port } of endpoints) {
            const { ports } = service['spec'] as { ports: readonly Port[] };
            if (!ports.some(({ name }) => name === port))
              yield `The ServiceMonitor scrapes port ${port} of ${service.metadata.name}, which it does not have.`;
          }
        }
      }
    },
  },
  {
    name: 'only what clients need is exposed',
    *check(manifests) {
      for (const { from, path, isExact } of pathsOf(manifests)) {
        if (publicPaths.get(path) !== isExact)
          yield `${from} exposes ${path}${isExact ? '' : ' and everything below it'}, which clients do not need.`;
      }
      for (const from of new Set(pathsOf(manifests).map((each) => each.from))) {
        for (const [path] of publicPaths) {
          if (!pathsOf(manifests).some((each) => each.from === from && each.path === path))
            yield `${from} does not expose ${path}, which clients need.`;
        }
      }
      for (const { metadata, spec } of ofKind(manifests, 'Service')) {
        const { type = 'ClusterIP' } = spec as { type?: string };
        if (metadata.name !== 'fanfare' && type !== 'ClusterIP') yield `Service ${metadata.name} is exposed (${type}).`;
      }
      for (const policy of ofKind(manifests, 'NetworkPolicy')) {
        const { ingress = [] } = policy['spec'] as {
          ingress?: readonly { from?: readonly object[]; ports?: readonly Port[] }[];
        };
        for (const { from = [], ports = [] } of ingress) {
          if (
            ports.some(({ port }) => port === 'admin') &&
            (from.length === 0 || from.some((each) => Object.keys(each).length === 0))
          )
            yield `NetworkPolicy ${policy.metadata.name} opens the admin port to everyone.`;
        }
      }
    },
  },
  {
    name: 'network policies allow the connections that the broker needs',
    *check(manifests) {
      const own = ofKind(manifests, 'NetworkPolicy');
      const rules = own.flatMap((policy) => {
        const {
          podSelector = {},
          ingress = [],
          egress = [],
        } = policy['spec'] as {
          podSelector?: Selector;
          ingress?: readonly { ports?: readonly Port[] }[];
          egress?: readonly { ports?: readonly Port[] }[];
        };
        const isOurs = matches(podSelector.matchLabels ?? {}, { 'app.kubernetes.io/name': 'fanfare' });
        return isOurs ? [{ ingress, egress }] : [];
      });
      // Policies that select only other pods do not restrict the broker.
      if (rules.length === 0) return;
      const ports = (way: 'ingress' | 'egress'): unknown[] =>
        rules.flatMap((rule) => rule[way].flatMap(({ ports: open = [] }) => open.map(({ port }) => port)));
      for (const port of ['ws', 'admin']) {
        if (!ports('ingress').includes(port)) yield `No NetworkPolicy allows connections to port ${port}.`;
      }
      for (const port of [53, 443]) {
        if (!ports('egress').includes(port)) yield `No NetworkPolicy allows the broker to connect to port ${port}.`;
      }
      const tracing = configOf(manifests)?.tracingUrl ?? null;
      const tracingPort =
        tracing === null ? null : Number(new URL(tracing).port || (tracing.startsWith('https') ? 443 : 80));
      if (tracingPort !== null && !ports('egress').includes(tracingPort))
        yield `No NetworkPolicy allows the broker to connect to its collector on port ${tracingPort}.`;
      for (const port of new Set(redisServersOf(manifests).map((server) => server.port))) {
        if (!ports('egress').includes(port))
          yield `No NetworkPolicy allows the broker to connect to Redis on port ${port}.`;
      }
      if (
        !own.some((policy) => Object.keys((policy['spec'] as { podSelector?: object }).podSelector ?? {}).length === 0)
      )
        yield 'No NetworkPolicy denies all other connections.';
    },
  },
  {
    name: 'network policies name the destinations of the broker',
    *check(manifests) {
      for (const { metadata, spec } of ofKind(manifests, 'NetworkPolicy')) {
        const { egress = [] } = spec as { egress?: readonly { to?: readonly Peer[]; ports?: readonly Port[] }[] };
        for (const { to = [], ports = [] } of egress) {
          const way = `NetworkPolicy ${metadata.name}, out to port ${ports.map(({ port }) => port).join(', ')}`;
          if (to.length === 0) yield `${way}: it names no destination.`;
          for (const peer of to) if (isAnywhere(peer)) yield `${way}: it allows every destination.`;
        }
      }
    },
  },
  {
    name: 'a Redis in the manifests is one that nodes can use',
    *check(manifests) {
      for (const { metadata, data } of ofKind(manifests, 'ConfigMap')) {
        const conf = (data as Labels | undefined)?.['redis.conf']?.split('\n');
        if (conf === undefined) continue;
        const isCluster = conf.includes('cluster-enabled yes');
        const settings = [...redisSettings, ...(isCluster ? redisClusterSettings : [])];
        for (const setting of settings)
          if (!conf.includes(setting)) yield `ConfigMap ${metadata.name}: redis.conf has no "${setting}".`;
        const { redisUrl } = configOf(manifests) ?? {};
        if (typeof redisUrl === 'string' && (readPlacement(redisUrl).kind === 'cluster') !== isCluster)
          yield `ConfigMap ${metadata.name}: redis.conf and FANFARE_REDIS_URL differ in whether this is a Redis Cluster.`;
      }
      const sets = ofKind(manifests, 'StatefulSet');
      for (const { host } of redisServersOf(manifests)) {
        // A pod of a StatefulSet: <name>-<number>.<service>
        const [, name = '', number, service] = /^([a-z-]+)-(\d+)\.([a-z-]+)$/.exec(host) ?? [];
        if (service === undefined) continue;
        const spec = sets.find(({ metadata }) => metadata.name === name)?.['spec'] as
          | { serviceName: string; replicas: number }
          | undefined;
        if (spec?.serviceName !== service || spec.replicas <= Number(number))
          yield `FANFARE_REDIS_URL names ${host}, which is not a pod of a StatefulSet.`;
      }
    },
  },
  {
    name: 'secrets are files, not variables',
    *check(manifests) {
      for (const { title, container } of containersOf(manifests)) {
        for (const { name, valueFrom } of container.env ?? []) {
          if (valueFrom?.secretKeyRef !== undefined) yield `${title} has the secret ${name} in its environment.`;
        }
        for (const { secretRef } of container.envFrom ?? []) {
          if (secretRef !== undefined) yield `${title} has the Secret ${secretRef.name} in its environment.`;
        }
      }
      const { redisUrl, redisPasswordFile } = configOf(manifests) ?? {};
      const hasPassword = (redisPasswordFile ?? null) !== null;
      if (hasPassword && redisUrl?.startsWith('rediss') !== true) yield 'The password of Redis is sent without TLS.';
    },
  },
  {
    name: 'selectors select the right pods',
    *check(manifests) {
      const workloads = workloadsOf(manifests);
      for (const { title, manifest, template } of workloads) {
        const selector = (manifest['spec'] as { selector?: Selector }).selector;
        if (manifest.kind !== 'Job' && !selects(selector, template.metadata.labels))
          yield `${title} does not select its own pods.`;
        for (const { topologyKey, labelSelector, matchLabelKeys } of template.spec.topologySpreadConstraints ?? []) {
          if (!selects(labelSelector, template.metadata.labels))
            yield `${title}: the spread over ${topologyKey} counts other pods.`;
          // Otherwise pods of the old generation count too, and new pods may share a zone or machine.
          if (!matchLabelKeys?.includes('pod-template-hash'))
            yield `${title}: the spread over ${topologyKey} counts pods of older generations.`;
        }
      }
      const deployments = ofKind(manifests, 'Deployment');
      for (const budget of ofKind(manifests, 'PodDisruptionBudget')) {
        const { selector, maxUnavailable, unhealthyPodEvictionPolicy } = budget['spec'] as {
          selector?: Selector;
          maxUnavailable?: number;
          unhealthyPodEvictionPolicy?: string;
        };
        if (!workloads.some(({ template }) => selects(selector, template.metadata.labels)))
          yield 'The PodDisruptionBudget selects no pods.';
        if (maxUnavailable !== 1) yield 'The PodDisruptionBudget does not limit disruptions to one pod at a time.';
        if (unhealthyPodEvictionPolicy !== 'AlwaysAllow')
          yield 'A pod that is not ready prevents the drain of its machine.';
      }
      if (deployments.length > 0 && ofKind(manifests, 'PodDisruptionBudget').length === 0)
        yield 'There is no PodDisruptionBudget.';
    },
  },
  {
    name: 'pods are spread over zones and machines',
    *check(manifests) {
      for (const { title, template } of workloadsOf(manifests).filter(
        ({ manifest }) => manifest.kind === 'Deployment',
      )) {
        const keys = (template.spec.topologySpreadConstraints ?? []).map(({ topologyKey }) => topologyKey);
        for (const key of ['topology.kubernetes.io/zone', 'kubernetes.io/hostname']) {
          if (!keys.includes(key)) yield `${title} is not spread over ${key}.`;
        }
      }
    },
  },
  {
    name: 'new pods start before old pods stop',
    *check(manifests) {
      for (const deployment of ofKind(manifests, 'Deployment')) {
        const { strategy, minReadySeconds = 0 } = deployment['spec'] as {
          strategy?: { rollingUpdate?: { maxSurge?: unknown; maxUnavailable?: unknown } };
          minReadySeconds?: number;
        };
        const { maxSurge, maxUnavailable } = strategy?.rollingUpdate ?? {};
        if (maxUnavailable !== 0) yield 'A rolling deploy stops pods before their replacements are ready.';
        if (maxSurge === undefined || maxSurge === 0)
          yield 'A rolling deploy may not start a pod beyond the number of replicas.';
        if (minReadySeconds < 5) yield 'A rolling deploy continues before a new pod has been ready for 5 s.';
      }
    },
  },
  {
    name: 'the grace period covers preStop and the whole drain',
    *check(manifests) {
      if (ofKind(manifests, 'Deployment').length === 0) return;
      const config = configOf(manifests);
      if (config === null) return;
      const { preStopSeconds, terminationGracePeriodSeconds } = readDeployment(manifests);
      const drainSeconds = longestDrainMs(config) / 1_000;
      const needed = preStopSeconds + drainSeconds + spareSeconds;
      if (terminationGracePeriodSeconds < needed)
        yield `terminationGracePeriodSeconds is ${terminationGracePeriodSeconds}; preStop (${preStopSeconds}), drain (${drainSeconds}) and ${spareSeconds} to spare need ${needed}.`;
      if (preStopSeconds < 2) yield 'preStop is too short for load balancers to learn that the pod stops.';
    },
  },
  {
    name: 'the broker accepts the configuration',
    *check(manifests) {
      for (const _ of brokersOf(manifests)) {
        try {
          const config = loadConfigOf(manifests);
          if (config.host !== '0.0.0.0' || config.adminHost !== '0.0.0.0')
            yield 'The broker listens on an address that is not reachable.';
          if (config.redisUrl === null) yield 'The nodes have no Redis: each would be a separate broker.';
        } catch (error) {
          yield* sentencesOf(error);
        }
      }
      for (const { title, template } of workloadsOf(manifests)) {
        if (
          template.spec.enableServiceLinks !== false &&
          template.metadata.labels['app.kubernetes.io/name'] === 'fanfare'
        )
          yield `${title} gets variables for every Service, and FANFARE_PORT would be one of them.`;
      }
    },
  },
  {
    name: 'every object that is referred to exists',
    *check(manifests) {
      const exists = (kind: string, name: string): boolean =>
        ofKind(manifests, kind).some(({ metadata }) => metadata.name === name);
      for (const { title, container } of containersOf(manifests)) {
        for (const { configMapRef, secretRef } of container.envFrom ?? []) {
          if (configMapRef !== undefined && !exists('ConfigMap', configMapRef.name))
            yield `${title}: there is no ConfigMap ${configMapRef.name}.`;
          if (secretRef !== undefined) yield* wrongSecret(manifests, title, secretRef);
        }
        for (const { valueFrom } of container.env ?? []) {
          if (valueFrom?.configMapKeyRef !== undefined && !exists('ConfigMap', valueFrom.configMapKeyRef.name))
            yield `${title}: there is no ConfigMap ${valueFrom.configMapKeyRef.name}.`;
          if (valueFrom?.secretKeyRef !== undefined) yield* wrongSecret(manifests, title, valueFrom.secretKeyRef);
        }
      }
      for (const { title, template } of workloadsOf(manifests)) {
        const { volumes = [], containers, serviceAccountName } = template.spec;
        for (const { configMap, secret } of volumes) {
          if (configMap !== undefined && !exists('ConfigMap', configMap.name))
            yield `${title}: there is no ConfigMap ${configMap.name}.`;
          if (secret !== undefined) yield* wrongSecret(manifests, title, { name: secret.secretName });
        }
        if (serviceAccountName !== undefined && !exists('ServiceAccount', serviceAccountName))
          yield `${title}: there is no ServiceAccount ${serviceAccountName}.`;
        for (const { name } of containers.flatMap(({ volumeMounts = [] }) => volumeMounts)) {
          const isClaimed = ((title.startsWith('StatefulSet') ? claimsOf(manifests) : []) as string[]).includes(name);
          if (!isClaimed && !volumes.some((volume) => volume.name === name))
            yield `${title} mounts ${name}, which is not a volume.`;
        }
      }
      const namespaces = new Set(
        manifests.map(({ metadata }) => metadata.namespace).filter((name) => name !== undefined),
      );
      if (namespaces.size > 1) yield `The objects are in several namespaces: ${[...namespaces].join(', ')}.`;
      for (const namespace of namespaces) {
        if (ofKind(manifests, 'Namespace').length > 0 && !exists('Namespace', namespace))
          yield `There is no Namespace ${namespace}.`;
      }
    },
  },
  {
    name: 'one object sets the number of pods, and removes pods slowly',
    *check(manifests) {
      const scalers = [...ofKind(manifests, 'HorizontalPodAutoscaler'), ...ofKind(manifests, 'ScaledObject')];
      for (const deployment of ofKind(manifests, 'Deployment')) {
        const { replicas } = deployment['spec'] as { replicas?: number };
        if (scalers.length > 1) yield 'Two autoscalers set the number of pods.';
        if (scalers.length > 0 && replicas !== undefined)
          yield 'The Deployment and an autoscaler both set the number of pods.';
        if (scalers.length === 0 && (replicas ?? 1) < 2)
          yield 'A Deployment with one pod cannot move its clients anywhere.';
      }
      for (const scaler of scalers) {
        const spec = scaler['spec'] as {
          scaleTargetRef: { apiVersion?: string; kind?: string; name: string };
          maxReplicas?: number;
          maxReplicaCount?: number;
          minReplicas?: number;
          minReplicaCount?: number;
          behavior?: Behavior;
          advanced?: { horizontalPodAutoscalerConfig?: { behavior?: Behavior } };
          metrics?: readonly { type: string; pods?: { metric: { name: string } }; resource?: { name: string } }[];
          triggers?: readonly { type: string; metadata: { query?: string } }[];
        };
        const title = `${scaler.kind} ${scaler.metadata.name}`;
        if (!ofKind(manifests, 'Deployment').some(({ metadata }) => metadata.name === spec.scaleTargetRef.name))
          yield `${title} scales ${spec.scaleTargetRef.name}, which does not exist.`;
        const { apiVersion = 'apps/v1', kind = 'Deployment' } = spec.scaleTargetRef;
        if (apiVersion !== 'apps/v1' || kind !== 'Deployment')
          yield `${title} scales ${apiVersion} ${kind}, not a Deployment.`;
        const [least, most] = [
          spec.minReplicas ?? spec.minReplicaCount ?? 1,
          spec.maxReplicas ?? spec.maxReplicaCount ?? 0,
        ];
        if (most <= least) yield `${title} cannot add a pod: at most ${most}, at least ${least}.`;
        if (least < 2) yield `${title} goes down to one pod, which cannot move its clients anywhere.`;
        const down = (spec.behavior ?? spec.advanced?.horizontalPodAutoscalerConfig?.behavior)?.scaleDown;
        if (
          (down?.stabilizationWindowSeconds ?? 300) < 1_800 ||
          down?.policies?.some(({ type, value }) => type !== 'Pods' || value > 1) !== false
        )
          yield `${title} removes pods faster than one each half hour.`;
        const measured = [
          ...(spec.metrics ?? []).map(({ pods, resource }) => pods?.metric.name ?? resource?.name),
          ...(spec.triggers ?? []).map(({ type, metadata }) => metadata.query ?? type),
        ].join(' ');
        if (!/fanfare_connections\b/.test(measured) || !/\bcpu\b/.test(measured))
          yield `${title} does not use both connections and CPU.`;
      }
    },
  },
  {
    name: 'clients can stay connected for hours, and can move',
    *check(manifests) {
      for (const service of ofKind(manifests, 'Service')) {
        const { sessionAffinity = 'None' } = service['spec'] as { sessionAffinity?: string };
        if (sessionAffinity !== 'None')
          yield `Service ${service.metadata.name} sends clients back to the pod that asked them to move.`;
      }
      for (const route of ofKind(manifests, 'HTTPRoute')) {
        const { rules } = route['spec'] as {
          rules: readonly {
            timeouts?: { request?: string; backendRequest?: string };
            matches?: readonly { path: { value: string } }[];
          }[];
        };
        if (
          rules.some(
            ({ timeouts, matches: paths = [] }) =>
              paths.some(({ path }) => endlessPaths.includes(path.value)) &&
              (timeouts?.request !== '0s' || (timeouts.backendRequest ?? '0s') !== '0s'),
          )
        )
          yield 'The HTTPRoute closes connections after the timeout of a request.';
        for (const { timeouts, matches: paths = [] } of rules) {
          const seconds = Number(/^(\d+)s$/.exec(timeouts?.request ?? '0s')?.[1]);
          if (paths.some(({ path }) => path.value === '/v1/topics') && !(seconds === 0 || seconds > maxWaitSeconds))
            yield `The HTTPRoute ends long polls after ${timeouts?.request}; they wait up to ${maxWaitSeconds} s.`;
        }
      }
      for (const { metadata } of ofKind(manifests, 'Ingress')) {
        for (const side of ['read', 'send']) {
          const seconds = Number(metadata.annotations?.[`nginx.ingress.kubernetes.io/proxy-${side}-timeout`] ?? 60);
          if (seconds < 600) yield `The Ingress closes connections that ${side} nothing for ${seconds} s.`;
        }
      }
    },
  },
];

/** The number of connections for each pod at which the autoscaler adds a pod. */
function targetsOf(manifests: readonly Manifest[]): { title: string; perPod: number }[] {
  const scaler = ofKind(manifests, 'HorizontalPodAutoscaler').flatMap(({ spec }) => {
    const { metrics = [] } = spec as {
      metrics?: readonly { pods?: { metric: { name: string }; target: { averageValue?: string } } }[];
    };
    return metrics.flatMap(({ pods }) =>
      pods === undefined ? [] : [{ title: 'The HorizontalPodAutoscaler', perPod: Number(pods.target.averageValue) }],
    );
  });
  const keda = ofKind(manifests, 'ScaledObject').flatMap(({ spec }) => {
    const { triggers } = spec as { triggers: readonly { metadata: { threshold?: string } }[] };
    return triggers.flatMap(({ metadata: { threshold } }) =>
      threshold === undefined ? [] : [{ title: 'The ScaledObject', perPod: Number(threshold) }],
    );
  });
  return [...scaler, ...keda];
}

function isAuthenticated({ auth }: NonNullable<ReturnType<typeof configOf>>): boolean {
  return auth !== null && auth !== 'none';
}

interface Behavior {
  readonly scaleDown?: {
    readonly stabilizationWindowSeconds?: number;
    readonly policies?: readonly { readonly type: string; readonly value: number }[];
  };
}

/** The part of the grace period that must be left if everything takes its longest time. */
const spareSeconds = 10;

/** Settings of a Redis without which nodes lose histories (docs/operations.md, Redis). */
const redisSettings = [
  'appendonly yes',
  'maxmemory-policy noeviction',
  'client-output-buffer-limit pubsub 64mb 32mb 60',
  'stream-node-max-bytes 512',
];

/** Also those of a Redis Cluster (docs/operations.md, Redis Cluster). */
const redisClusterSettings = ['cluster-node-timeout 2000', 'cluster-require-full-coverage no'];

/** The servers in the URL of the nodes; none without a URL. */
function redisServersOf(manifests: readonly Manifest[]): { readonly host: string; readonly port: number }[] {
  const { redisUrl } = configOf(manifests) ?? {};
  if (typeof redisUrl !== 'string') return [];
  return addressesOf(readPlacement(redisUrl)).flatMap(({ servers }) => servers);
}

function isScaled(manifests: readonly Manifest[]): boolean {
  return ['HorizontalPodAutoscaler', 'ScaledObject'].some((kind) => ofKind(manifests, kind).length > 0);
}

/** A destination in a rule of a NetworkPolicy. */
interface Peer {
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
  readonly namespaceSelector?: Selector;
  readonly podSelector?: Selector;
}

function isAnywhere({ ipBlock, namespaceSelector, podSelector }: Peer): boolean {
  if (ipBlock !== undefined) return /\/[0-7]$/.test(ipBlock.cidr) && (ipBlock.except ?? []).length === 0;
  const labels = [namespaceSelector, podSelector].flatMap((selector) => Object.keys(selector?.matchLabels ?? {}));
  return labels.length === 0;
}

function* wrongSecret(manifests: readonly Manifest[], title: string, { name, key }: Ref): Iterable<string> {
  const found = ofKind(manifests, 'Secret').find(({ metadata }) => metadata.name === name);
  const content =
    found === undefined ? promisedSecrets[name] : { ...(found['data'] as Labels), ...(found['stringData'] as Labels) };
  if (content === undefined)
    yield `${title}: there is no Secret ${name}, and k8s/README.md does not describe how to create it.`;
  else if (key !== undefined && content[key] === undefined) yield `${title}: the Secret ${name} has no key ${key}.`;
}

/** Adds examples of the Secrets that the operator creates. */
function withSecrets(manifests: readonly Manifest[]): Manifest[] {
  const missing = Object.entries(promisedSecrets).filter(
    ([name]) => !ofKind(manifests, 'Secret').some(({ metadata }) => metadata.name.replace(/-\w{10}$/, '') === name),
  );
  const examples = missing.map(
    ([name, stringData]): Manifest => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData }),
  );
  return [...manifests, ...examples];
}

/** The environment of the broker, as in the manifests. */
function givenEnvironmentOf(manifests: readonly Manifest[]): Labels {
  return readDeployment(withSecrets(manifests)).environment('fanfare-0');
}

/** The same, with placeholders replaced by example values of the operator. */
function environmentOf(manifests: readonly Manifest[]): Labels {
  const entries = Object.entries(givenEnvironmentOf(manifests)).map(([name, value]) => [
    name,
    value.startsWith('<') ? (promisedSettings[name] ?? value) : value,
  ]);
  return Object.fromEntries(entries);
}

/** Throws ConfigError. */
function loadConfigOf(manifests: readonly Manifest[]): ReturnType<typeof loadConfig> {
  return withFiles(environmentOf(manifests), mountedFiles(withSecrets(manifests)), loadConfig);
}

/** The reasons why a node does not start with the unchanged manifests. */
export function refusalsOf(manifests: readonly Manifest[]): readonly string[] {
  try {
    withFiles(givenEnvironmentOf(manifests), mountedFiles(withSecrets(manifests)), loadConfig);
    return [];
  } catch (error) {
    return sentencesOf(error);
  }
}

/** Null if the broker rejects the configuration: another policy reports that. */
function configOf(manifests: readonly Manifest[]): ReturnType<typeof loadConfig> | null {
  try {
    return loadConfigOf(manifests);
  } catch {
    return null;
  }
}
