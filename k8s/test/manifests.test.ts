/** Kubernetes and our policies accept every overlay and every component, and the policies find mistakes. */
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hasKubectl, type Manifest, renderKustomization, renderOverlay } from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mistakes, Objects } from './mistakes.js';
import { policies, promisedSecrets, promisedSettings, refusalsOf } from './policies.js';
import { wrongBySchema } from './schemas.js';

const k8s = fileURLToPath(new URL('..', import.meta.url));
const overlays = readdirSync(join(k8s, 'overlays')).toSorted();
const components = readdirSync(join(k8s, 'components')).toSorted();

const page = readFileSync(join(k8s, 'README.md'), 'utf8');

/** The objects of each overlay, by its name. */
const rendered = new Map<string, readonly Manifest[]>();
/** Temporary folders, each with an overlay that tests one component. */
const folders: string[] = [];

/** `kustomization` returns the text of kustomization.yaml. Its argument makes a path in k8s/ relative. */
async function renderAt(kustomization: (to: (path: string) => string) => string): Promise<Manifest[]> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'fanfare-k8s-')));
  folders.push(folder);
  // Kustomize follows relative paths only.
  const to = (path: string): string => relative(folder, join(k8s, path));
  writeFileSync(join(folder, 'kustomization.yaml'), kustomization(to));
  return await renderKustomization(folder);
}

/** The overlay production, with one more component. */
function renderWith(component: string): Promise<Manifest[]> {
  return renderAt((to) =>
    JSON.stringify({
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      namespace: 'fanfare',
      resources: [to('overlays/production')],
      components: [to(`components/${component}`)],
    }),
  );
}

/** The overlay that k8s/README.md shows, on top of ours. */
function renderExample(): Promise<Manifest[]> {
  const [, text = ''] = /```yaml\n# kustomization.yaml\n(.*?)```/s.exec(page) ?? [];
  return renderAt((to) =>
    text.replace(/https:.*$/m, to('overlays/production')).replace('sha256:…', `sha256:${'0'.repeat(64)}`),
  );
}

const used = new Set(
  overlays.flatMap((overlay) => {
    const text = readFileSync(join(k8s, 'overlays', overlay, 'kustomization.yaml'), 'utf8');
    return [...text.matchAll(/components\/([\w-]+)/g)].map(([, name]) => name as string);
  }),
);
const others = components.filter((component) => !used.has(component));
const example = 'the example in k8s/README.md';
const variants = [...overlays, example, ...others.map((component) => `production with ${component}`)];

describe.skipIf(!hasKubectl())('the manifests', () => {
  beforeAll(async () => {
    await Promise.all([
      ...overlays.map(async (overlay) => rendered.set(overlay, await renderOverlay(overlay))),
      renderExample().then((manifests) => rendered.set(example, manifests)),
      ...others.map(async (component) => rendered.set(`production with ${component}`, await renderWith(component))),
    ]);
  });
  afterAll(() => {
    for (const folder of folders) rmSync(folder, { recursive: true });
  });

  const of = (variant: string): readonly Manifest[] => rendered.get(variant) ?? [];

  describe.each(variants)('of %s', (variant) => {
    it('have only fields that the APIs accept', () => {
      expect(of(variant).length).toBeGreaterThan(5);
      expect(of(variant).flatMap(wrongBySchema)).toEqual([]);
    });

    it.each(policies.map((policy) => [policy.name, policy] as const))('follow the policy that %s', (_, policy) => {
      expect([...policy.check(of(variant))]).toEqual([]);
    });
  });

  it.each(mistakes.map((mistake) => [mistake.about, mistake] as const))('with %s are rejected', (_, mistake) => {
    const objects = new Objects(of(mistake.overlay ?? 'production'));
    mistake.plant(objects);
    const policy = policies.find(({ name }) => name === mistake.foundBy);
    const found = policy === undefined ? objects.list.flatMap(wrongBySchema) : [...policy.check(objects.list)];
    expect(found.join('\n')).toContain(mistake.sentence);
  });

  it('are tested with a mistake for each policy', () => {
    const found = new Set(mistakes.map(({ foundBy }) => foundBy));
    expect(policies.map(({ name }) => name).filter((name) => !found.has(name))).toEqual([]);
    expect([...found].filter((name) => name !== 'schema' && !policies.some((policy) => policy.name === name))).toEqual(
      [],
    );
  });

  it('of the example contain its changes', () => {
    const text = JSON.stringify(of(example));
    expect(text).toContain('ghcr.io/you/fanfare@sha256:');
    expect(text).toContain('"hostnames":["push.you.example"]');
    expect(text).toContain('"FANFARE_ORIGINS":"https://www.you.example"');
  });

  it.each(['production', 'sentinel', 'cluster'])(
    'of %s do not let a node start before the operator has set the trusted proxies',
    (overlay) => {
      expect(refusalsOf(of(overlay))).toEqual([
        'FANFARE_TRUSTED_PROXIES contains a placeholder. It must be addresses or networks such as 10.0.0.0/8, separated by commas.',
      ]);
      for (const name of Object.keys(promisedSettings)) expect(page).toContain(name);
    },
  );

  it('of the example let a node start, and allow the destinations that the operator has set', () => {
    expect(refusalsOf(of(example))).toEqual([]);
    const policy = of(example).find(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === 'fanfare');
    expect(JSON.stringify(policy)).not.toContain('192.0.2.0/24');
  });

  it('use only Secrets that k8s/README.md explains how to create', () => {
    for (const [name, content] of Object.entries(promisedSecrets)) {
      expect(page).toMatch(new RegExp(`kubectl .*create secret \\w+ ${name}\\b`));
      for (const key of Object.keys(content).filter((key) => !key.startsWith('tls.')))
        expect(page).toContain(`${key}=`);
    }
  });
});
