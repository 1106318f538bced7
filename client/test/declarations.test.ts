/**
 * The type declarations of the package compile in a project with the oldest supported TypeScript, without
 * `skipLibCheck`.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL('../..', import.meta.url));

const compilers = {
  // The compiler of TypeScript 5.4, from a package whose commands do not collide with those of the present one.
  '5.4': require.resolve('@tsd/typescript/typescript/lib/tsc.js'),
  present: join(root, 'node_modules/typescript/bin/tsc'),
} as const;

const using = `
import { createClient, type Client, type Publication, ReplyError, type StandardSchemaV1 } from '@fanfare/client';
import { createClient as createFallbackClient, type FallbackClient, type Transport } from '@fanfare/client/fallback';
import { createClient as createJsonClient } from '@fanfare/client/json';
import { createClient as createRichClient } from '@fanfare/client/msgpackr';
interface Topics { 'chat.lobby': { text: string }; [topic: \`prices.\${string}\`]: { bid: number } }
const client: Client<Topics> = createClient<Topics>('ws://127.0.0.1:1/ws', { autoConnect: false });
const json: Client<Topics> = createJsonClient<Topics>('ws://127.0.0.1:1/ws');
const fallback: FallbackClient<Topics> = createFallbackClient<Topics>('ws://127.0.0.1:1/ws', { transports: ['longPolling'] });
const transport: Transport | null = fallback.transport;
const plain: Client<Topics> = fallback;
declare const schema: StandardSchemaV1<string, number>;
const checked = createClient('ws://127.0.0.1:1/ws', { schemas: { 'a.*': schema } });
checked.subscribe('a.b', ({ data }) => data.toFixed());
client.subscribe('prices.BTC', ({ data }: Publication<'prices.BTC', { readonly bid: number }>) => data.bid.toFixed());
type Json = string | number | boolean | null | Json[] | { [name: string]: Json };
type JsonObject = { [Key in string]: JsonValue };
type JsonValue = string | number | boolean | null | JsonObject | JsonValue[] | readonly JsonValue[];
const any = createClient<{ a: Json; b: JsonValue }>('ws://127.0.0.1:1/ws');
any.subscribe('a', ({ data }) => void data);
any.subscribe('b', ({ data }) => void data);
void createJsonClient<{ a: Json; b: JsonValue }>('ws://127.0.0.1:1/ws').publish('b', [1]);
createRichClient<{ a: Map<string, Set<bigint>> }>('ws://127.0.0.1:1/ws').subscribe('a', ({ data }) => data.get('b'));
export { json, plain, ReplyError, transport };
`;

const misspelled = `import { createClient } from '@fanfare/client';
interface Topics { 'chat.lobby': { text: string }; [topic: \`prices.\${string}\`]: { bid: number } }
createClient<Topics>('ws://127.0.0.1:1/ws', { autoConnect: false }).subscribe('chat.loby');
`;

/** The output of the compiler for a project that has installed the package. */
async function compile(compiler: string, options: object): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fanfare-declarations-'));
  try {
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
    // The declarations of TypeScript itself need no check.
    const checks = { strict: true, skipLibCheck: false, skipDefaultLibCheck: true };
    const compilerOptions = { ...checks, noEmit: true, types: [], ...options };
    const files = { 'use.ts': using, 'misspelled.ts': misspelled };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: Object.keys(files) }));
    await writeFile(join(folder, 'package.json'), '{"type":"module"}');
    for (const [name, source] of Object.entries(files)) await writeFile(join(folder, name), source);
    return await new Promise((resolve) => {
      execFile(process.execPath, [compiler, '-p', folder], { cwd: folder }, (_error, stdout) => resolve(stdout.trim()));
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

const bundler = { target: 'es2022', lib: ['es2022', 'dom'], module: 'esnext', moduleResolution: 'bundler' };
const nodenext = { target: 'es2022', lib: ['es2022', 'dom'], module: 'nodenext', moduleResolution: 'nodenext' };

it.each([
  ['5.4', 'nodenext', nodenext],
  ['present', 'nodenext', nodenext],
  ['present', 'bundler', bundler],
] as const)(
  'the declarations compile with TypeScript %s and %s, without @types/node, and the error for a misspelled topic lists the topics',
  async (version, _, options) => {
    const reported = await compile(compilers[version], options);
    expect(reported.split('\n')).toHaveLength(1);
    expect(reported).toContain('misspelled.ts');
    expect(reported).toContain(`Argument of type '"chat.loby"' is not assignable`);
    expect(reported).toContain('"chat.lobby"');
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the compiler prints it this way.
    expect(reported).toContain('`prices.${string}`');
  },
);
