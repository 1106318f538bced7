/**
 * Words that must not return to comments, messages and pages. Each has a list of paths that are not clean yet; all other Markdown and
 * TypeScript files are checked. The lists only shrink: a path that is clean must leave its list.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

interface Word {
  readonly phrase: string;
  /** Found in one line; upper case counts too. */
  readonly pattern: RegExp;
  readonly instead: string;
  /** Files and folders that still contain it. */
  readonly unclean: readonly string[];
}

// biome-ignore format: one line for each list keeps the table short.
const words: readonly Word[] = [
  {
    phrase: 'anew',
    pattern: /\banew\b/i,
    instead: 'again',
    unclean: ['broker/src', 'broker/test/incident.test.ts', 'broker/test/probe.test.ts', 'broker/test/rebalance.test.ts', 'broker/test/redis-outage.test.ts', 'client/src/msgpack-reader.ts', 'client/test/beginning.test.ts', 'client/test/token.test.ts', 'docs/architecture.md', 'docs/decisions.md', 'loadtest/src', 'tools/verify/test/rollout.test.ts', 'protocol/src/messages.ts', 'protocol/src/reader.ts', 'test/deployment/image.ts'],
  },
  {
    phrase: 'whoever',
    pattern: /\bwhoever\b/i,
    instead: 'anyone who',
    unclean: ['broker/src', 'broker/test/auth-store.test.ts', 'broker/test/redis-acl.test.ts', 'broker/test/relay.contract.ts', 'broker/test/revocation.test.ts', 'broker/test/wait.ts', 'client/src/websocket-node.ts', 'client/test/floating.test.ts', 'docs/architecture.md', 'docs/loadtest.md', 'docs/observability.md', 'docs/security.md', 'docs/threat-model.md', 'k8s/test/schemas.ts', 'loadtest/src', 'protocol/src/trace.ts', 'protocol/test/node-codecs.test.ts', 'test/deployment/image.ts'],
  },
  {
    phrase: 'so many',
    pattern: /\bso many\b/i,
    instead: 'that many',
    unclean: ['broker/src', 'broker/test', 'client/src/outbox.ts', 'client/src/pacer.ts', 'docs/architecture.md', 'docs/loadtest.md', 'loadtest/src', 'loadtest/test/protocol-readers.test.ts', 'loadtest/test/publish-template.test.ts', 'tools/verify/test/subscriber-log.test.ts'],
  },
  {
    phrase: 'beside',
    pattern: /\bbeside\b/i,
    instead: 'next to',
    unclean: ['broker/src', 'broker/test/config.test.ts', 'broker/test/harness.ts', 'broker/test/lost-state.test.ts', 'broker/test/redis-outage.test.ts', 'client/test/protocol.test.ts', 'client/test/types.test.ts', 'docs/architecture.md', 'docs/configuration.md', 'docs/decisions.md', 'docs/loadtest.md', 'docs/observability.md', 'docs/performance.md', 'docs/threat-model.md', 'k8s/test/mistakes.ts', 'loadtest/src', 'loadtest/test/command-line.test.ts', 'loadtest/test/plan.test.ts', 'loadtest/test/report.test.ts', 'loadtest/test/scenarios.test.ts', 'protocol/PROTOCOL.md'],
  },
  {
    phrase: 'what comes',
    pattern: /\bwhat comes\b/i,
    instead: 'a noun, such as "incoming frames"',
    unclean: ['broker/src', 'broker/test/repair.test.ts', 'broker/test/workers.test.ts', 'client/src', 'client/test/beginning.test.ts', 'client/test/handover.test.ts', 'client/test/publish-retry.test.ts', 'client/test/recovery.test.ts', 'client/test/subscribe.test.ts', 'docs/architecture.md', 'docs/decisions.md', 'docs/guarantees.md', 'tools/abuse/src/attack-run.ts', 'loadtest/src/levels/pace.ts', 'tools/verify/src/checker/checker.ts', 'tools/verify/src/faults/bus-faults.ts', 'tools/verify/test/subscriber-log.test.ts', 'protocol/PROTOCOL.md', 'test/end-to-end.test.ts', 'test/safeguards/safeguards.ts'],
  },
  {
    phrase: 'stands',
    pattern: /\bstands?(?! for\b)\b/i,
    instead: 'is, or hangs',
    unclean: ['broker/src', 'broker/test', 'client/src', 'client/test/protocol.test.ts', 'docs/architecture.md', 'docs/configuration.md', 'docs/decisions.md', 'docs/fuzzing.md', 'docs/guarantees.md', 'docs/loadtest.md', 'docs/security.md', 'k8s/test/mistakes.ts', 'k8s/test/policies.ts', 'loadtest/src', 'loadtest/test', 'protocol/PROTOCOL.md', 'protocol/src', 'protocol/test/golden.test.ts', 'protocol/test/node-codecs.test.ts', 'protocol/test/publications.test.ts', 'protocol/test/spec.test.ts', 'test/deployment/dockerfile.ts', 'test/deployment/monitoring.test.ts', 'test/deployment/prometheus.ts', 'test/deployment/topology.ts', 'test/layers.test.ts', 'test/safeguards/safeguards.test.ts', 'test/safeguards/safeguards.ts'],
  },
  {
    phrase: 'is none',
    pattern: /\b(?:(?<!there )(?:is|are) none)\b/i,
    instead: 'is not one, or is invalid',
    unclean: ['broker/src', 'broker/test/auth-config.test.ts', 'broker/test/auth.test.ts', 'broker/test/config.test.ts', 'broker/test/jwt.test.ts', 'broker/test/repair.test.ts', 'client/src/msgpack-reader.ts', 'client/test/floating.test.ts', 'tools/abuse/src/attacks/bad-tokens.ts', 'tools/abuse/src/attack-run.ts', 'loadtest/src/levels/arrivals.ts', 'loadtest/src/load/result-file.ts', 'tools/verify/src/checker/subscriber-log.ts', 'loadtest/test/load.test.ts', 'loadtest/test/report.test.ts', 'protocol/src/errors.ts', 'protocol/src/json-client-codec.ts', 'protocol/src/json-fault.ts', 'test/auth.test.ts'],
  },
  {
    phrase: 'told',
    pattern: /\b(?:told|tells)\b/i,
    instead: 'notified, logs or says',
    unclean: ['broker/src', 'broker/test', 'client/src/feed.ts', 'client/src/line.test.ts', 'client/src/line.ts', 'client/src/msgpack-data.test.ts', 'client/test', 'docs/architecture.md', 'docs/decisions.md', 'docs/fuzzing.md', 'docs/guarantees.md', 'docs/loadtest.md', 'docs/observability.md', 'docs/performance.md', 'docs/proxies.md', 'docs/security.md', 'docs/tls.md', 'k8s/test/policies.ts', 'loadtest/src', 'loadtest/test', 'protocol/PROTOCOL.md', 'protocol/test/client-codecs.test.ts', 'protocol/test/fixtures/README.md', 'protocol/test/properties.test.ts', 'protocol/test/spec.test.ts', 'protocol/test/trace.test.ts', 'test/auth.test.ts', 'test/console.test.ts', 'test/deployment/proxies.test.ts', 'test/deployment/topology.test.ts', 'test/end-to-end.test.ts', 'test/page.test.ts', 'test/rates.test.ts', 'test/rebalance.test.ts', 'test/safeguards/safeguards.ts'],
  },
  {
    phrase: 'complains',
    pattern: /\b(?:complain(?:s|ed)?)\b/i,
    instead: 'warns',
    unclean: ['broker/src', 'broker/test/history-publisher.test.ts', 'broker/test/incident.test.ts', 'loadtest/src/levels/arrivals.ts', 'loadtest/src/levels/nodes-path.ts', 'loadtest/src/levels/plain-peer.ts', 'loadtest/test/arrivals.test.ts', 'loadtest/test/report.test.ts', 'test/deployment'],
  },
  {
    phrase: 'besiege',
    pattern: /\b(?:besiege[sd]?|sieges?)\b/i,
    instead: 'attack',
    unclean: ['tools/abuse/src/command-line.ts', 'tools/abuse/src/main.ts', 'tools/abuse/src/report.ts', 'tools/abuse/src/attacks/admin-port.ts', 'tools/abuse/src/attack-run.ts', 'tools/abuse/test/command-line.test.ts', 'tools/abuse/test/abuse.test.ts'],
  },
  {
    phrase: 'where there is',
    pattern: /\b(?:where there (?:is|are))\b/i,
    instead: 'if there is',
    unclean: ['broker/src', 'broker/test/lua.test.ts', 'broker/test/policy.test.ts', 'broker/test/probe.test.ts', 'broker/test/repair.test.ts', 'broker/test/turns.test.ts', 'client/src', 'client/test/connection-state.test.ts', 'docs/loadtest.md', 'docs/performance.md', 'loadtest/src', 'loadtest/test/peers.test.ts', 'loadtest/test/report.test.ts', 'protocol/src/messages.ts'],
  },
  {
    phrase: 'null where',
    pattern: /\bnull where\b/i,
    instead: 'null if',
    unclean: ['broker/src', 'broker/test/policy.test.ts', 'broker/test/relay.contract.ts', 'client/src', 'docs/loadtest.md', 'k8s/test/policies.ts', 'loadtest/src', 'protocol/src/client-codec.ts', 'protocol/src/messages.ts', 'protocol/src/node-codec.ts', 'protocol/src/topic.ts', 'protocol/src/trace.ts', 'protocol/test/topic.test.ts', 'test/deployment/dockerfile.ts', 'test/deployment/programs.ts'],
  },
  {
    phrase: 'mend',
    pattern: /\b(?:mend(?:s|ed|ing)?)\b/i,
    instead: 'fix',
    unclean: ['broker/src', 'broker/test/lost-state.test.ts', 'docs/architecture.md', 'docs/decisions.md'],
  },
  {
    phrase: 'of before',
    pattern: /\bof before\b/i,
    instead: 'earlier',
    unclean: ['broker/src/auth/authenticator.ts', 'broker/test/tls.test.ts', 'docs/tls.md', 'loadtest/src/runs/load-command.ts', 'loadtest/test/report.test.ts'],
  },
  {
    phrase: 'the doors',
    pattern: /\bthe doors\b/i,
    instead: 'the thing itself, such as authentication',
    unclean: ['broker/src/auth/auth-store.ts', 'broker/src/node/pages.ts', 'broker/test/auth-store.contract.ts', 'broker/test/auth.test.ts', 'docs/observability.md', 'docs/security.md'],
  },
  {
    phrase: 'where the topic has',
    pattern: /\b(?:where (?:the|a|its|their) topics? (?:has|have|keeps?))\b/i,
    instead: 'if the topic keeps',
    unclean: ['broker/src/relay/redis-relay.ts', 'broker/src/relay/relay.ts', 'client/src/line.ts', 'client/test/history.test.ts', 'protocol/PROTOCOL.md', 'protocol/src/messages.ts', 'protocol/src/node-codec.ts'],
  },
  {
    phrase: 'machine who',
    pattern: /\b(?:(?:node|client|process|server|machine|worker|connection|program)s? who)\b/i,
    instead: 'machine that',
    unclean: [],
  },
  {
    phrase: 'falls silent',
    pattern: /\b(?:(?:falls?|fell|fallen) silent)\b/i,
    instead: 'becomes idle',
    unclean: ['broker/src/relay/published.ts', 'broker/src/relay/redis-relay.ts', 'broker/test/repair.test.ts', 'docs/decisions.md', 'docs/guarantees.md', 'test/safeguards/safeguards.ts'],
  },
  {
    phrase: 'in vain',
    pattern: /\bin vain\b/i,
    instead: 'without success',
    unclean: ['broker/src/redis/redis-fault.ts', 'broker/test/wait.ts', 'docs/guarantees.md', 'loadtest/src/load/connection.ts', 'test/safeguards/safeguards.ts'],
  },
  {
    phrase: 'serves as well',
    pattern: /\bserves? as well\b/i,
    instead: 'also works',
    unclean: [],
  },
];

const root = fileURLToPath(new URL('..', import.meta.url));

/** Each file with its lines, without this one. */
const files: readonly (readonly [path: string, lines: readonly string[]])[] = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '*.md', '*.ts'],
  { cwd: root, encoding: 'utf8' },
)
  .split('\0')
  .filter((path) => path !== '' && path !== 'test/words.test.ts' && existsSync(join(root, path)))
  .map((path) => [path, readFileSync(join(root, path), 'utf8').split('\n')]);

const isBelow = (path: string, file: string): boolean => file === path || file.startsWith(`${path}/`);

function sentencesOn({ phrase, pattern, instead }: Word, path: string, lines: readonly string[]): string[] {
  return lines.flatMap((line, index) =>
    pattern.test(line) ? [`${path}:${index + 1} has "${phrase}": write ${instead}.`] : [],
  );
}

describe.each(words)('"$phrase"', (word) => {
  it('is in no file that is clean', () => {
    const clean = files.filter(([file]) => !word.unclean.some((path) => isBelow(path, file)));
    expect(clean.flatMap(([file, lines]) => sentencesOn(word, file, lines))).toEqual([]);
  });

  it('is still in each path of its list', () => {
    const has = (path: string): boolean =>
      files.some(([file, lines]) => isBelow(path, file) && lines.some((line) => word.pattern.test(line)));
    const cleaned = word.unclean.filter((path) => !has(path));
    expect(cleaned.map((path) => `${path} is clean: remove it from the list of "${word.phrase}".`)).toEqual([]);
  });
});
