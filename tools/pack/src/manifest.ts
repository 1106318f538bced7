/**
 * The package.json of a tarball. In the repository, `exports` and `imports` lead to the sources and to the output of
 * `tsc --build`; in a tarball they lead to the files in `lib`.
 */
import { basename } from 'node:path';

type Targets = Readonly<Record<string, string>>;

/** What this tool reads of a workspace's package.json. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly keywords: readonly string[];
  readonly license: string;
  readonly type: 'module';
  readonly sideEffects?: boolean;
  readonly engines: Targets;
  readonly bin?: Targets;
  /** The files for pages without a bundler. */
  readonly unpkg?: string;
  readonly jsdelivr?: string;
  /** An entry without `default` is for this repository only. Missing if nothing can be imported: the package is a command. */
  readonly exports?: Readonly<Record<string, { readonly default?: string }>>;
  readonly imports?: Readonly<Record<string, Readonly<Record<string, { readonly default: string }>>>>;
  readonly files: readonly string[];
  readonly scripts: { readonly prepack: string; readonly postpack: string };
  readonly dependencies?: Targets;
  readonly peerDependencies?: Targets;
  readonly peerDependenciesMeta?: object;
}

export interface RootManifest {
  /** The URL of the repository. */
  readonly repository: string;
}

/** The entry points that users import: subpath, and module in `dist` without extension. */
export function entryPoints({ exports = {} }: Manifest): (readonly [subpath: string, module: string])[] {
  return Object.entries(exports).flatMap(([subpath, target]) =>
    target.default === undefined ? [] : [[subpath, moduleOf(target.default)] as const],
  );
}

/** The modules in `dist` that depend on the platform. */
export function platformModules({ imports = {} }: Manifest): string[] {
  return Object.values(imports).flatMap((targets) => Object.values(targets).map((target) => moduleOf(target.default)));
}

/** The dependencies that users install: all but the packages of this repository and those in `included`. */
export function remainingDependencies({ dependencies = {} }: Manifest, included: readonly string[]): Targets {
  const remaining = Object.entries(dependencies).filter(
    ([name]) => !name.startsWith('@fanfare/') && !included.includes(name),
  );
  return Object.fromEntries(remaining);
}

/** `./dist/node/main.js` is `node/main`. */
export function moduleOf(path: string): string {
  const module = /^\.\/dist\/(.+)\.js$/.exec(path)?.[1];
  if (module === undefined) throw new Error(`package.json names ${path}: use a path such as ./dist/index.js.`);
  return module;
}

/** A module in `dist` as a file in `lib`. */
function fileOf(module: string, extension: string): string {
  return `./lib/${basename(module)}.${extension}`;
}

export interface Place {
  /** The URL of the repository. */
  readonly repository: string;
  /** The folder of the package in the repository. */
  readonly directory: string;
}

export function publishedManifest(manifest: Manifest, { repository, directory }: Place, dependencies: Targets): object {
  const { name, version, description, keywords, license, type, sideEffects, engines, bin, unpkg, jsdelivr } = manifest;
  const { files, scripts, peerDependencies, peerDependenciesMeta } = manifest;
  const entries = entryPoints(manifest);
  const others = entries.filter(([subpath]) => subpath !== '.');
  return {
    name,
    version,
    description,
    keywords,
    license,
    homepage: `${repository}/tree/main/${directory}#readme`,
    bugs: `${repository}/issues`,
    repository: { type: 'git', url: `git+${repository}.git`, directory },
    type,
    sideEffects,
    engines,
    bin:
      bin && Object.fromEntries(Object.entries(bin).map(([command, path]) => [command, fileOf(moduleOf(path), 'js')])),
    // For tools that do not read `exports`.
    ...(entries.length === 0 ? {} : { main: './lib/index.cjs', types: './lib/index.d.cts' }),
    typesVersions:
      others.length === 0
        ? undefined
        : {
            '*': Object.fromEntries(others.map(([subpath, module]) => [subpath.slice(2), [fileOf(module, 'd.cts')]])),
          },
    unpkg,
    jsdelivr,
    exports: {
      ...Object.fromEntries(
        entries.map(([subpath, module]) => [
          subpath,
          {
            import: { types: fileOf(module, 'd.ts'), default: fileOf(module, 'js') },
            require: { types: fileOf(module, 'd.cts'), default: fileOf(module, 'cjs') },
          },
        ]),
      ),
      './package.json': './package.json',
    },
    imports: publishedImports(manifest),
    files,
    // If `npm pack` is interrupted, the next one finds this package.json, and must restore the workspace's own.
    scripts: { prepack: scripts.prepack, postpack: scripts.postpack },
    dependencies: Object.keys(dependencies).length === 0 ? undefined : dependencies,
    peerDependencies,
    peerDependenciesMeta,
    publishConfig: { access: 'public' },
  };
}

function publishedImports({ imports }: Manifest): object | undefined {
  if (imports === undefined) return undefined;
  const published = Object.entries(imports).map(([specifier, targets]) => {
    const platforms = Object.entries(targets).map(([platform, target]) => {
      const module = moduleOf(target.default);
      return [platform, { import: fileOf(module, 'js'), require: fileOf(module, 'cjs') }];
    });
    return [specifier, Object.fromEntries(platforms)];
  });
  return Object.fromEntries(published);
}
