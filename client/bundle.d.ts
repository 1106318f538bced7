export interface Bundle {
  readonly code: string;
  readonly bytes: number;
  readonly gzipBytes: number;
  /** Source files that went in. */
  readonly inputs: readonly string[];
}

export function bundle(entry: 'index' | 'json' | 'fallback', options: { readonly minify: boolean }): Promise<Bundle>;
