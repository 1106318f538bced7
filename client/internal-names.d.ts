export const internalNames: readonly string[];
/** Option of esbuild. */
export const mangleProps: RegExp;
