/** Why the binary of uWebSockets.js does not load here, and what to do. docs/operations.md has the same as a table. */

interface System {
  /** The version of Node, such as `24.22.3`. */
  readonly node: string;
  readonly platform: string;
  readonly arch: string;
  /** The version of glibc, such as `2.41`; null if the system has another C library. */
  readonly glibc: string | null;
}

/** The system that this process runs on. */
export function thisSystem(): System {
  const { platform, arch, versions, report } = process;
  const { header } = report.getReport() as unknown as { readonly header: { readonly glibcVersionRuntime?: string } };
  return { node: versions.node, platform, arch, glibc: header.glibcVersionRuntime ?? null };
}

/** `reason`: the message of the error that loading the library threw. */
export function explainLoadFailure(reason: string, { node, platform, arch, glibc }: System): string {
  const [major] = node.split('.');
  if (platform === 'linux' && glibc === null)
    return 'This system has no glibc (Alpine Linux has musl), and uWebSockets.js needs it. Use a system with glibc, such as the image node:24-trixie-slim.';
  if (reason.includes("Cannot find module './uws_"))
    return `uWebSockets.js has no binary for Node ${major} on ${platform} ${arch}. Use Node 20, 22 or 24 on Linux, x64 or arm64.`;
  if (reason.includes('GLIBC_') && glibc !== null)
    return `With Node ${major}, uWebSockets.js needs glibc 2.38 or later, and this system has ${glibc}. Use a newer system, such as Debian 13 or Ubuntu 24.04, or use Node 20.`;
  const [cause] = (reason.split('\n\n').at(-1) ?? reason).split('\n');
  return `uWebSockets.js does not load with Node ${node} on ${platform} ${arch}: ${cause}. Remove node_modules, and install the packages again.`;
}
