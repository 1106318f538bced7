/** Common mistakes. A policy or schema must find each one, with a sentence that explains it. */
import type { Manifest } from '@fanfare/local-cluster';

interface Mistake {
  readonly about: string;
  /** The policy that must find it; 'schema' for the schemas. */
  readonly foundBy: string;
  /** A part of the expected sentence. */
  readonly sentence: string;
  /** The overlay to change. Default: production. */
  readonly overlay?: string;
  plant(objects: Objects): void;
}

/** A copy of an overlay's objects, for changes. */
export class Objects {
  readonly list: Manifest[];

  constructor(manifests: readonly Manifest[]) {
    this.list = structuredClone(manifests) as Manifest[];
  }

  /** The only object of the kind, or the one with that name. Its fields can be changed. */
  // biome-ignore lint/suspicious/noExplicitAny: a mistake can be in any field of a manifest, also in fields without a type.
  get(kind: string, name?: string): any {
    const found = this.list.filter((each) => each.kind === kind && (name === undefined || each.metadata.name === name));
    if (found.length !== 1) throw new Error(`There are ${found.length} ${kind}.`);
    return found[0];
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above.
  get pod(): any {
    return this.get('Deployment').spec.template.spec;
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above.
  get broker(): any {
    return this.pod.containers[0];
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above.
  get config(): any {
    return this.list.find(({ kind, metadata }) => kind === 'ConfigMap' && /^fanfare-\w{10}$/.test(metadata.name))?.[
      'data'
    ];
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above.
  get redisConfig(): any {
    return this.list.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.startsWith('redis'))?.['data'];
  }

  remove(kind: string, name?: string): void {
    this.list.splice(this.list.indexOf(this.get(kind, name)), 1);
  }
}

const schema = 'schema';

export const mistakes: readonly Mistake[] = [
  {
    about: 'a field with a typing error',
    foundBy: schema,
    sentence: '/spec/template/spec/containers/0/redinessProbe is not a field of the API',
    plant: ({ broker }) => {
      broker.redinessProbe = broker.readinessProbe;
      delete broker.readinessProbe;
    },
  },
  {
    about: 'a field one level too high',
    foundBy: schema,
    sentence: '/spec/terminationGracePeriodSeconds is not a field of the API',
    plant: (objects) => {
      objects.get('Deployment').spec.terminationGracePeriodSeconds = 50;
    },
  },
  {
    about: 'a text instead of a number',
    foundBy: schema,
    sentence: 'minReadySeconds must be integer',
    plant: (objects) => {
      objects.get('Deployment').spec.minReadySeconds = '10';
    },
  },
  {
    about: 'a number instead of a text',
    foundBy: schema,
    sentence: '/data/FANFARE_PORT must be string',
    plant: ({ config }) => {
      config.FANFARE_PORT = 8080;
    },
  },
  {
    about: 'a missing required field',
    foundBy: schema,
    sentence: 'must have required property selector',
    plant: (objects) => {
      delete objects.get('Deployment').spec.selector;
    },
  },
  {
    about: 'an API version without this kind',
    foundBy: schema,
    sentence: 'there is no schema for policy/v1beta1 PodDisruptionBudget',
    plant: (objects) => {
      objects.get('PodDisruptionBudget').apiVersion = 'policy/v1beta1';
    },
  },
  {
    about: 'a field that the HTTPRoute does not know',
    foundBy: schema,
    sentence: '/spec/rules/0/timeout is not a field of the API',
    plant: (objects) => {
      objects.get('HTTPRoute').spec.rules[0].timeout = '0s';
    },
  },
  {
    about: 'a field that the ServiceMonitor does not know',
    foundBy: schema,
    sentence: '/spec/endpoints/0/intervall is not a field of the API',
    plant: (objects) => {
      objects.get('ServiceMonitor').spec.endpoints[0].intervall = '15s';
    },
  },
  {
    about: 'a field that the PrometheusRule does not know',
    foundBy: schema,
    sentence: '/spec/groups/0/rules/0/severity is not a field of the API',
    plant: (objects) => {
      objects.get('PrometheusRule').spec.groups[0].rules[0].severity = 'page';
    },
  },
  {
    about: 'the tag `latest`',
    foundBy: 'images are pinned to a version',
    sentence: 'has no version',
    plant: ({ broker }) => {
      broker.image = 'registry.example.com/fanfare:latest';
    },
  },
  {
    about: 'an image without a tag',
    foundBy: 'images are pinned to a version',
    sentence: 'StatefulSet redis: the image redis has no version',
    overlay: 'dev',
    plant: (objects) => {
      objects.get('StatefulSet').spec.template.spec.containers[0].image = 'redis';
    },
  },
  {
    about: 'a privileged container',
    foundBy: 'pods are restricted',
    sentence: 'fanfare is privileged',
    plant: ({ broker }) => {
      broker.securityContext.privileged = true;
    },
  },
  {
    about: 'an added capability',
    foundBy: 'pods are restricted',
    sentence: 'fanfare has capabilities',
    plant: ({ broker }) => {
      broker.securityContext.capabilities.add = ['NET_ADMIN'];
    },
  },
  {
    about: 'a writable root file system',
    foundBy: 'pods are restricted',
    sentence: 'can write to its image',
    plant: ({ broker }) => {
      delete broker.securityContext.readOnlyRootFilesystem;
    },
  },
  {
    about: 'a pod that may be root',
    foundBy: 'pods are restricted',
    sentence: 'may run as root',
    plant: ({ pod }) => {
      delete pod.securityContext.runAsNonRoot;
    },
  },
  {
    about: 'a pod without a seccomp profile',
    foundBy: 'pods are restricted',
    sentence: 'has no seccomp profile',
    plant: ({ pod }) => {
      delete pod.securityContext.seccompProfile;
    },
  },
  {
    about: 'a pod with a service account token',
    foundBy: 'pods are restricted',
    sentence: 'has a token for the API of Kubernetes',
    plant: ({ pod }) => {
      delete pod.automountServiceAccountToken;
    },
  },
  {
    about: 'no memory limit',
    foundBy: 'containers request the resources that they need',
    sentence: 'has no memory limit',
    plant: ({ broker }) => {
      delete broker.resources.limits;
    },
  },
  {
    about: 'a CPU limit',
    foundBy: 'containers request the resources that they need',
    sentence: 'has a CPU limit',
    plant: ({ broker }) => {
      broker.resources.limits.cpu = '1';
    },
  },
  {
    about: 'less CPU than an event loop uses',
    foundBy: 'containers request the resources that they need',
    sentence: 'requests a different share than the one CPU',
    plant: ({ broker }) => {
      broker.resources.requests.cpu = '250m';
    },
  },
  {
    about: 'a heap as large as the memory',
    foundBy: 'containers request the resources that they need',
    sentence: 'leaves no memory for buffers',
    plant: ({ broker }) => {
      broker.resources.limits.memory = broker.resources.requests.memory = '512Mi';
    },
  },
  {
    about: 'more unread bytes than fit in memory',
    foundBy: 'settings match the resources and the scaling of the container',
    sentence: 'more than a quarter of the memory',
    plant: ({ config }) => {
      config.FANFARE_MAX_TOTAL_BUFFERED_BYTES = '2147483648';
    },
  },
  {
    about: 'an autoscaler that waits until pods are full',
    foundBy: 'settings match the resources and the scaling of the container',
    sentence: 'If a pod stops, the others have no room for its connections.',
    plant: ({ config }) => {
      config.FANFARE_MAX_CONNECTIONS = '12000';
    },
  },
  {
    about: 'a gateway without trusted proxies',
    foundBy: 'settings match the resources and the scaling of the container',
    sentence: 'count as one address',
    plant: ({ config }) => {
      delete config.FANFARE_TRUSTED_PROXIES;
    },
  },
  {
    about: 'a field without a value',
    foundBy: schema,
    sentence: '/spec/template/spec/containers/0/resources is not a field of the API, or has no value',
    plant: ({ broker }) => {
      broker.resources = null;
    },
  },
  {
    about: 'a Service with session affinity',
    foundBy: 'clients can stay connected for hours, and can move',
    sentence: 'sends clients back to the pod that asked them to move',
    plant: (objects) => {
      objects.get('Service', 'fanfare').spec.sessionAffinity = 'ClientIP';
    },
  },
  {
    about: 'a container that is root',
    foundBy: 'pods are restricted',
    sentence: 'fanfare runs as root',
    plant: ({ broker }) => {
      broker.securityContext.runAsUser = 0;
    },
  },
  {
    about: 'a privileged init container',
    foundBy: 'pods are restricted',
    sentence: 'init is privileged',
    plant: ({ pod }) => {
      pod.initContainers = [{ name: 'init', image: 'busybox:1.37', securityContext: { privileged: true } }];
    },
  },
  {
    about: 'the host network',
    foundBy: 'pods are restricted',
    sentence: 'has hostNetwork',
    plant: ({ pod }) => {
      pod.hostNetwork = true;
    },
  },
  {
    about: 'no time to start',
    foundBy: 'probes check different things, and liveness does not depend on Redis',
    sentence: 'has 2 s to start',
    plant: ({ broker }) => {
      broker.startupProbe.failureThreshold = 2;
    },
  },
  {
    about: 'a route to everything',
    foundBy: 'only what clients need is exposed',
    sentence: 'exposes / and everything below it',
    plant: (objects) => {
      objects.get('HTTPRoute').spec.rules[0].matches = [{ path: { type: 'PathPrefix', value: '/' } }];
    },
  },
  {
    about: 'a route to the revocations',
    foundBy: 'only what clients need is exposed',
    sentence: 'exposes /v1/revocations',
    plant: (objects) => {
      objects.get('HTTPRoute').spec.rules[1].matches[0].path.value = '/v1/revocations';
    },
  },
  {
    about: 'a route without the event streams',
    foundBy: 'only what clients need is exposed',
    sentence: 'The HTTPRoute does not expose /v1/events, which clients need.',
    plant: (objects) => {
      objects.get('HTTPRoute').spec.rules[0].matches.pop();
    },
  },
  {
    about: 'a timeout that ends long polls',
    foundBy: 'clients can stay connected for hours, and can move',
    sentence: 'The HTTPRoute ends long polls after 30s; they wait up to 55 s.',
    plant: (objects) => {
      objects.get('HTTPRoute').spec.rules[1].timeouts.request = '30s';
    },
  },
  {
    about: 'an admin port that is exposed',
    foundBy: 'only what clients need is exposed',
    sentence: 'Service fanfare-admin is exposed (LoadBalancer)',
    plant: (objects) => {
      objects.get('Service', 'fanfare-admin').spec.type = 'LoadBalancer';
    },
  },
  {
    about: 'a NetworkPolicy that opens the admin port to all',
    foundBy: 'only what clients need is exposed',
    sentence: 'opens the admin port to everyone',
    plant: (objects) => {
      delete objects.get('NetworkPolicy', 'fanfare').spec.ingress[2].from;
    },
  },
  {
    about: 'a collector that is missing from the NetworkPolicy',
    foundBy: 'network policies allow the connections that the broker needs',
    sentence: 'allows the broker to connect to its collector on port 4317',
    plant: ({ config }) => {
      config.FANFARE_TRACING_URL = 'http://collector:4317/v1/traces';
    },
  },
  {
    about: 'an autoscaler that cannot add a pod',
    foundBy: 'one object sets the number of pods, and removes pods slowly',
    sentence: 'cannot add a pod: at most 2, at least 3',
    plant: (objects) => {
      objects.get('HorizontalPodAutoscaler').spec.maxReplicas = 2;
    },
  },
  {
    about: 'an autoscaler of another API',
    foundBy: 'one object sets the number of pods, and removes pods slowly',
    sentence: 'scales apps/v2 Deployment',
    plant: (objects) => {
      objects.get('HorizontalPodAutoscaler').spec.scaleTargetRef.apiVersion = 'apps/v2';
    },
  },
  {
    about: 'a timeout for requests from the gateway to the Service',
    foundBy: 'clients can stay connected for hours, and can move',
    sentence: 'closes connections after the timeout of a request',
    plant: (objects) => {
      objects.get('HTTPRoute').spec.rules[0].timeouts.backendRequest = '15s';
    },
  },
  {
    about: 'metrics under another job',
    foundBy: 'ports match those of the containers, by name and by number',
    sentence: 'no alert on `job` would fire',
    plant: (objects) => {
      delete objects.get('ServiceMonitor').spec.jobLabel;
    },
  },
  {
    about: 'liveness that depends on Redis',
    foundBy: 'probes check different things, and liveness does not depend on Redis',
    sentence: 'an outage of Redis would restart all pods',
    plant: ({ broker }) => {
      broker.livenessProbe.httpGet.path = '/readyz';
    },
  },
  {
    about: 'readiness that only checks liveness',
    foundBy: 'probes check different things, and liveness does not depend on Redis',
    sentence: 'The readiness of the broker is not /readyz',
    plant: ({ broker }) => {
      broker.readinessProbe.httpGet.path = '/healthz';
    },
  },
  {
    about: 'readiness that fails at once',
    foundBy: 'probes check different things, and liveness does not depend on Redis',
    sentence: 'takes all pods out of the Service',
    plant: ({ broker }) => {
      broker.readinessProbe.failureThreshold = 1;
    },
  },
  {
    about: 'no startup probe',
    foundBy: 'probes check different things, and liveness does not depend on Redis',
    sentence: 'has no startup probe',
    plant: ({ broker }) => {
      delete broker.startupProbe;
    },
  },
  {
    about: 'a probe of the port for clients',
    foundBy: 'probes check different things, and liveness does not depend on Redis',
    sentence: 'uses port ws, not admin',
    plant: ({ broker }) => {
      broker.livenessProbe.httpGet.port = 'ws';
    },
  },
  {
    about: 'a Service that selects other pods',
    foundBy: 'ports match those of the containers, by name and by number',
    sentence: 'Service fanfare selects no pods',
    plant: (objects) => {
      objects.get('Service', 'fanfare').spec.selector['app.kubernetes.io/name'] = 'fanfair';
    },
  },
  {
    about: 'a Service with a target port that does not exist',
    foundBy: 'ports match those of the containers, by name and by number',
    sentence: 'Deployment fanfare has no port websocket',
    plant: (objects) => {
      objects.get('Service', 'fanfare').spec.ports[0].targetPort = 'websocket';
    },
  },
  {
    about: 'a broker that listens on another port than its container names',
    foundBy: 'ports match those of the containers, by name and by number',
    sentence: 'The broker listens on 9000, but its port ws is 8080',
    plant: ({ config }) => {
      config.FANFARE_PORT = '9000';
    },
  },
  {
    about: 'an HTTPRoute to a Service that does not exist',
    foundBy: 'ports match those of the containers, by name and by number',
    sentence: 'routes to the Service fanfare-ws, which does not exist',
    plant: (objects) => {
      objects.get('HTTPRoute').spec.rules[0].backendRefs[0].name = 'fanfare-ws';
    },
  },
  {
    about: 'an HTTPRoute to a port that the Service does not have',
    foundBy: 'ports match those of the containers, by name and by number',
    sentence: 'routes to port 80 of the Service fanfare',
    plant: (objects) => {
      objects.get('HTTPRoute').spec.rules[0].backendRefs[0].port = 80;
    },
  },
  {
    about: 'a ServiceMonitor of another port',
    foundBy: 'ports match those of the containers, by name and by number',
    sentence: 'scrapes port metrics of fanfare-admin',
    plant: (objects) => {
      objects.get('ServiceMonitor').spec.endpoints[0].port = 'metrics';
    },
  },
  {
    about: 'a NetworkPolicy for a port that does not exist',
    foundBy: 'ports match those of the containers, by name and by number',
    sentence: 'Deployment fanfare has no port http',
    plant: (objects) => {
      objects.get('NetworkPolicy', 'fanfare').spec.ingress[1].ports[0].port = 'http';
    },
  },
  {
    about: 'a NetworkPolicy that keeps Prometheus out',
    foundBy: 'network policies allow the connections that the broker needs',
    sentence: 'No NetworkPolicy allows connections to port admin',
    plant: (objects) => {
      objects.get('NetworkPolicy', 'fanfare').spec.ingress.pop();
    },
  },
  {
    about: 'a NetworkPolicy that does not allow Redis',
    foundBy: 'network policies allow the connections that the broker needs',
    sentence: 'allows the broker to connect to Redis on port 6380',
    plant: (objects) => {
      const { egress } = objects.get('NetworkPolicy', 'fanfare').spec;
      for (const rule of egress) rule.ports = rule.ports.filter(({ port }: { port: number }) => port !== 6380);
    },
  },
  {
    about: 'a NetworkPolicy that does not allow the Sentinels',
    foundBy: 'network policies allow the connections that the broker needs',
    sentence: 'allows the broker to connect to Redis on port 26379',
    overlay: 'sentinel',
    plant: (objects) => {
      const { egress } = objects.get('NetworkPolicy', 'fanfare').spec;
      for (const rule of egress) rule.ports = rule.ports.filter(({ port }: { port: number }) => port !== 26_379);
    },
  },
  {
    about: 'a NetworkPolicy that does not allow DNS',
    foundBy: 'network policies allow the connections that the broker needs',
    sentence: 'allows the broker to connect to port 53',
    plant: (objects) => {
      objects.get('NetworkPolicy', 'fanfare').spec.egress.shift();
    },
  },
  {
    about: 'no NetworkPolicy that denies other connections',
    foundBy: 'network policies allow the connections that the broker needs',
    sentence: 'denies all other connections',
    plant: (objects) => objects.remove('NetworkPolicy', 'default-deny'),
  },
  {
    about: 'a PodDisruptionBudget that selects nothing',
    foundBy: 'selectors select the right pods',
    sentence: 'The PodDisruptionBudget selects no pods',
    plant: (objects) => {
      objects.get('PodDisruptionBudget').spec.selector.matchLabels = { app: 'fanfare' };
    },
  },
  {
    about: 'a PodDisruptionBudget that allows the disruption of all pods',
    foundBy: 'selectors select the right pods',
    sentence: 'does not limit disruptions to one pod at a time',
    plant: (objects) => {
      objects.get('PodDisruptionBudget').spec.maxUnavailable = '100%';
    },
  },
  {
    about: 'no PodDisruptionBudget',
    foundBy: 'selectors select the right pods',
    sentence: 'There is no PodDisruptionBudget',
    plant: (objects) => objects.remove('PodDisruptionBudget'),
  },
  {
    about: 'a Deployment that does not select its pods',
    foundBy: 'selectors select the right pods',
    sentence: 'Deployment fanfare does not select its own pods',
    plant: (objects) => {
      objects.get('Deployment').spec.template.metadata.labels = { 'app.kubernetes.io/name': 'broker' };
    },
  },
  {
    about: 'a spread that counts old pods',
    foundBy: 'selectors select the right pods',
    sentence: 'counts pods of older generations',
    plant: ({ pod }) => {
      delete pod.topologySpreadConstraints[0].matchLabelKeys;
    },
  },
  {
    about: 'no spread over zones',
    foundBy: 'pods are spread over zones and machines',
    sentence: 'is not spread over topology.kubernetes.io/zone',
    plant: ({ pod }) => {
      pod.topologySpreadConstraints.shift();
    },
  },
  {
    about: 'a rolling deploy that first stops a pod',
    foundBy: 'new pods start before old pods stop',
    sentence: 'stops pods before their replacements are ready',
    plant: (objects) => {
      objects.get('Deployment').spec.strategy.rollingUpdate = { maxSurge: 0, maxUnavailable: 1 };
    },
  },
  {
    about: 'a rolling deploy that does not wait',
    foundBy: 'new pods start before old pods stop',
    sentence: 'continues before a new pod has been ready for 5 s',
    plant: (objects) => {
      delete objects.get('Deployment').spec.minReadySeconds;
    },
  },
  {
    about: 'a grace period shorter than the drain',
    foundBy: 'the grace period covers preStop and the whole drain',
    sentence: 'terminationGracePeriodSeconds is 30; preStop (5), drain (37) and 10 to spare need 52.',
    plant: ({ pod }) => {
      pod.terminationGracePeriodSeconds = 30;
    },
  },
  {
    about: 'a longer drain without a longer grace period',
    foundBy: 'the grace period covers preStop and the whole drain',
    sentence: 'drain (137)',
    plant: ({ config }) => {
      config.FANFARE_DRAIN_WINDOW_MS = '120000';
    },
  },
  {
    about: 'no time for load balancers',
    foundBy: 'the grace period covers preStop and the whole drain',
    sentence: 'preStop is too short',
    plant: ({ broker }) => {
      broker.lifecycle.preStop.sleep.seconds = 1;
    },
  },
  {
    about: 'a setting that does not exist',
    foundBy: 'the broker accepts the configuration',
    sentence: 'FANFARE_MAX_CONNECTION is not a setting; did you mean FANFARE_MAX_CONNECTIONS?',
    plant: ({ config }) => {
      config.FANFARE_MAX_CONNECTION = '1';
    },
  },
  {
    about: 'a value that the broker rejects',
    foundBy: 'the broker accepts the configuration',
    sentence: 'FANFARE_LOG_FORMAT must be',
    plant: ({ config }) => {
      config.FANFARE_LOG_FORMAT = 'yaml';
    },
  },
  {
    about: 'a broker on loopback',
    foundBy: 'the broker accepts the configuration',
    sentence: 'listens on an address that is not reachable',
    plant: ({ config }) => {
      delete config.FANFARE_ADMIN_HOST;
    },
  },
  {
    about: 'no authentication',
    foundBy: 'the broker accepts the configuration',
    sentence: 'FANFARE_AUTH',
    plant: ({ config }) => {
      delete config.FANFARE_AUTH;
    },
  },
  {
    about: 'no Redis',
    foundBy: 'the broker accepts the configuration',
    sentence: 'The nodes have no Redis',
    plant: ({ config }) => {
      delete config.FANFARE_REDIS_URL_FILE;
    },
  },
  {
    about: 'a URL of Sentinels without the name of the master',
    foundBy: 'the broker accepts the configuration',
    sentence: 'FANFARE_REDIS_URL has no master name',
    overlay: 'sentinel',
    plant: ({ config }) => {
      config.FANFARE_REDIS_URL = config.FANFARE_REDIS_URL.replace('/mymaster', '');
    },
  },
  {
    about: 'a Redis Cluster that stops if one master fails',
    foundBy: 'a Redis in the manifests is one that nodes can use',
    sentence: 'redis.conf has no "cluster-require-full-coverage no"',
    overlay: 'cluster',
    plant: (objects) => {
      const data = objects.redisConfig;
      data['redis.conf'] = data['redis.conf'].replace('coverage no', 'coverage yes');
    },
  },
  {
    about: 'a Redis that evicts histories',
    foundBy: 'a Redis in the manifests is one that nodes can use',
    sentence: 'redis.conf has no "maxmemory-policy noeviction"',
    overlay: 'dev',
    plant: (objects) => {
      const data = objects.redisConfig;
      data['redis.conf'] = data['redis.conf'].replace('noeviction', 'allkeys-lru');
    },
  },
  {
    about: 'the URL of a single Redis for a Redis Cluster',
    foundBy: 'a Redis in the manifests is one that nodes can use',
    sentence: 'differ in whether this is a Redis Cluster',
    overlay: 'cluster',
    plant: ({ config }) => {
      config.FANFARE_REDIS_URL = 'redis://redis-cluster-0.redis-cluster:6379';
    },
  },
  {
    about: 'a server of a Redis Cluster that does not exist',
    foundBy: 'a Redis in the manifests is one that nodes can use',
    sentence: 'FANFARE_REDIS_URL names redis-cluster-6.redis-cluster, which is not a pod',
    overlay: 'cluster',
    plant: ({ config }) => {
      config.FANFARE_REDIS_URL = config.FANFARE_REDIS_URL.replace('redis-cluster-2.', 'redis-cluster-6.');
    },
  },
  {
    about: 'a NetworkPolicy that does not allow the Redis Cluster',
    foundBy: 'network policies allow the connections that the broker needs',
    sentence: 'allows the broker to connect to Redis on port 7000',
    overlay: 'cluster',
    plant: ({ config }) => {
      config.FANFARE_REDIS_URL = config.FANFARE_REDIS_URL.replaceAll(':6379', ':7000');
    },
  },
  {
    about: 'environment variables of Services',
    foundBy: 'the broker accepts the configuration',
    sentence: 'FANFARE_PORT would be one of them',
    plant: ({ pod }) => {
      delete pod.enableServiceLinks;
    },
  },
  {
    about: 'a key that its Secret does not have',
    foundBy: 'the broker accepts the configuration',
    sentence: 'FANFARE_REDIS_URL_FILE names a file that cannot be read: there is no file at this path',
    plant: ({ config }) => {
      config.FANFARE_REDIS_URL_FILE = '/run/secrets/fanfare/redis';
    },
  },
  {
    about: 'a Secret that is not mounted',
    foundBy: 'the broker accepts the configuration',
    sentence: 'FANFARE_AUTH names a file that cannot be read',
    plant: ({ broker, pod }) => {
      delete broker.volumeMounts;
      delete pod.volumes;
    },
  },
  {
    about: 'a secret in the environment',
    foundBy: 'secrets are files, not variables',
    sentence: 'has the secret FANFARE_AUTH in its environment',
    plant: ({ broker }) => {
      broker.env.push({ name: 'FANFARE_AUTH', valueFrom: { secretKeyRef: { name: 'fanfare', key: 'auth' } } });
    },
  },
  {
    about: 'a password that is sent without TLS',
    foundBy: 'secrets are files, not variables',
    sentence: 'The password of Redis is sent without TLS',
    overlay: 'sentinel',
    plant: ({ config }) => {
      config.FANFARE_REDIS_URL = config.FANFARE_REDIS_URL.replace('rediss', 'redis');
      delete config.FANFARE_REDIS_CA_FILE;
    },
  },
  {
    about: 'egress without a destination',
    foundBy: 'network policies name the destinations of the broker',
    sentence: 'out to port 443: it names no destination',
    plant: (objects) => {
      delete objects.get('NetworkPolicy', 'fanfare').spec.egress[2].to;
    },
  },
  {
    about: 'egress to all addresses',
    foundBy: 'network policies name the destinations of the broker',
    sentence: 'out to port 443: it allows every destination',
    plant: (objects) => {
      objects.get('NetworkPolicy', 'fanfare').spec.egress[2].to = [{ ipBlock: { cidr: '0.0.0.0/0' } }];
    },
  },
  {
    about: 'egress to all namespaces',
    foundBy: 'network policies name the destinations of the broker',
    sentence: 'out to port 6379, 6380, 26379: it allows every destination',
    plant: (objects) => {
      objects.get('NetworkPolicy', 'fanfare').spec.egress[1].to = [{ namespaceSelector: {} }];
    },
  },
  {
    about: 'a Secret that does not exist',
    foundBy: 'every object that is referred to exists',
    sentence: 'there is no Secret fanfare-redis',
    plant: ({ pod }) => {
      pod.volumes[0].secret.secretName = 'fanfare-redis';
    },
  },
  {
    about: 'a ConfigMap that does not exist',
    foundBy: 'every object that is referred to exists',
    sentence: 'there is no ConfigMap settings',
    plant: ({ broker }) => {
      broker.envFrom[0].configMapRef.name = 'settings';
    },
  },
  {
    about: 'a ServiceAccount that does not exist',
    foundBy: 'every object that is referred to exists',
    sentence: 'there is no ServiceAccount fanfare',
    plant: (objects) => objects.remove('ServiceAccount'),
  },
  {
    about: 'a volume that does not exist',
    foundBy: 'every object that is referred to exists',
    sentence: 'mounts data, which is not a volume',
    overlay: 'dev',
    plant: (objects) => {
      delete objects.get('StatefulSet').spec.volumeClaimTemplates;
    },
  },
  {
    about: 'an object in another namespace',
    foundBy: 'every object that is referred to exists',
    sentence: 'are in several namespaces',
    plant: (objects) => {
      objects.get('PodDisruptionBudget').metadata.namespace = 'default';
    },
  },
  {
    about: 'a number of replicas in addition to an autoscaler',
    foundBy: 'one object sets the number of pods, and removes pods slowly',
    sentence: 'both set the number of pods',
    plant: (objects) => {
      objects.get('Deployment').spec.replicas = 3;
    },
  },
  {
    about: 'an autoscaler of an object that does not exist',
    foundBy: 'one object sets the number of pods, and removes pods slowly',
    sentence: 'scales broker, which does not exist',
    plant: (objects) => {
      objects.get('HorizontalPodAutoscaler').spec.scaleTargetRef.name = 'broker';
    },
  },
  {
    about: 'an autoscaler that removes pods too fast',
    foundBy: 'one object sets the number of pods, and removes pods slowly',
    sentence: 'removes pods faster than one each half hour',
    plant: (objects) => {
      delete objects.get('HorizontalPodAutoscaler').spec.behavior;
    },
  },
  {
    about: 'an autoscaler that ignores connections',
    foundBy: 'one object sets the number of pods, and removes pods slowly',
    sentence: 'does not use both connections and CPU',
    plant: (objects) => {
      objects.get('HorizontalPodAutoscaler').spec.metrics.pop();
    },
  },
  {
    about: 'a single pod',
    foundBy: 'one object sets the number of pods, and removes pods slowly',
    sentence: 'A Deployment with one pod cannot move its clients anywhere',
    overlay: 'dev',
    plant: (objects) => {
      objects.get('Deployment').spec.replicas = 1;
    },
  },
  {
    about: 'a timeout for requests, which also closes WebSockets',
    foundBy: 'clients can stay connected for hours, and can move',
    sentence: 'closes connections after the timeout of a request',
    plant: (objects) => {
      delete objects.get('HTTPRoute').spec.rules[0].timeouts;
    },
  },
];
