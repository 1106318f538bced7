/**
 * Settings that are JSON documents, in the variable or in a file: FANFARE_TOPICS and FANFARE_AUTH. Each mistake becomes
 * one sentence. It names the place, but does not repeat the value, which may be a secret in the wrong place.
 */
import { type AuthConfig, type AuthSetting, readAuth } from '../auth/auth-config.js';
import { explainUnknown } from '../files/nearest.js';
import { readTextFile } from '../files/text-file.js';
import { explainInvalidPattern } from '../topics/pattern-tree.js';
import { defaultPolicy, levels, TopicPolicies, type TopicPolicy } from '../topics/policy.js';

interface PolicyField {
  readonly unit: string;
  /** What the value must be, for the error: "must be …". */
  readonly mustBe: string;
  /** The default as a person would write it. */
  readonly fallback: string;
  readonly about: string;
  readonly accepts: (value: unknown) => boolean;
}

function integerField(unit: string, fallback: number, least: number, most: number, about: string): PolicyField {
  const accepts = (value: unknown): boolean =>
    Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
  return { unit, mustBe: `an integer from ${least} to ${most}`, fallback: String(fallback), about, accepts };
}

/** The fields of a policy in FANFARE_TOPICS, declared once like the settings. Level fast permits no other field. */
export const policyFields: { readonly [Field in keyof TopicPolicy]: PolicyField } = {
  level: {
    unit: 'word',
    mustBe: oneWordOf(levels),
    fallback: defaultPolicy.level,
    about: 'Delivery guarantee of the topic: docs/guarantees.md.',
    accepts: (value) => levels.some((level) => level === value),
  },
  historySize: integerField(
    'publications',
    defaultPolicy.historySize,
    1,
    100_000,
    'Minimum number of publications kept for recovery; Redis may keep a few more. If a subscriber has missed more, it gets a gap.',
  ),
  historyAgeSeconds: integerField(
    's',
    defaultPolicy.historyAgeSeconds,
    1,
    31_536_000,
    'How long the history is kept after its last publication if the topic has no subscribers. After that, the history restarts with a new epoch.',
  ),
  lastValue: {
    unit: 'boolean',
    mustBe: 'true or false',
    fallback: String(defaultPolicy.lastValue),
    about: 'Whether a new subscriber (without `since`) gets the last publication at once.',
    accepts: (value) => typeof value === 'boolean',
  },
};

/** Receives one sentence for each mistake. */
type Report = (mistake: string) => void;

export function readPolicies(text: string, report: Report): TopicPolicies {
  const policies = new Map<string, Partial<TopicPolicy>>();
  for (const [index, [pattern, policy]] of Object.entries(readObject(text, policiesForm, report) ?? {}).entries()) {
    const reportHere: Report = (mistake) => report(`at pattern ${index + 1}: ${mistake}`);
    const rule = explainInvalidPattern(pattern);
    if (rule !== null) reportHere(`it ${rule}.`);
    policies.set(pattern, readPolicy(policy, reportHere));
  }
  return new TopicPolicies(policies);
}

const policiesForm = 'an object that maps patterns to policies, such as {"prices.>":{"level":"fast"}}';
const authForm = '"none", or an object such as {"issuers":[…],"apiKeys":[…]}';

/**
 * The object in the text, or in the file that it names; null if there is none. `mustBe`: what it must be, for the
 * sentence.
 */
function readObject(text: string, mustBe: string, report: Report): object | null {
  const isFile = text.startsWith('@');
  let json = text;
  try {
    if (isFile) json = readTextFile(text.slice(1));
  } catch (error) {
    report(`names a file that cannot be read: ${(error as Error).message}.`);
    return null;
  }
  try {
    const value: unknown = JSON.parse(json);
    if (isObject(value)) return value;
    report(`must be ${mustBe}.`);
  } catch (error) {
    const wrong = isFile ? 'names a file that is not JSON' : 'is neither JSON nor "@" followed by the path of a file';
    report(`${wrong}${lineOf(error, json)}.`);
  }
  return null;
}

/** `: see line 3` if JSON.parse gives the position. The rest of its message quotes the text, and is not repeated. */
function lineOf(error: unknown, json: string): string {
  const position = /at position (\d+)/.exec((error as Error).message)?.[1];
  return position === undefined ? '' : `: see line ${json.slice(0, Number(position)).split('\n').length}`;
}

export function readAuthSetting(text: string, report: Report): AuthSetting | 'none' | undefined {
  if (text === 'none') return text;
  const read = (report: Report, isStart: boolean): AuthConfig | null => {
    const document = readObject(text, authForm, report);
    return document === null ? null : readAuth(document, text.startsWith('@') ? text.slice(1) : null, report, isStart);
  };
  const auth = read(report, true);
  return auth === null ? undefined : { ...auth, reread: (report) => read(report, false) };
}

function readPolicy(policy: unknown, report: Report): Partial<TopicPolicy> {
  if (!isObject(policy)) {
    report('a policy must be an object such as {"level":"fast"}.');
    return {};
  }
  const fields = Object.entries(policy);
  const isFast = fields.some(([field, value]) => field === 'level' && value === 'fast');
  const right: Array<[string, unknown]> = [];
  for (const [index, [field, value]] of fields.entries()) {
    if (field === 'presence') report('"presence" is not available in this version. Remove it.');
    else if (!isPolicyField(field))
      report(`field ${index + 1} of the policy is unknown; ${explainUnknown(field, Object.keys(policyFields))}`);
    else if (isFast && field !== 'level') report(`a topic of level "fast" keeps no history. Remove ${field}.`);
    else if (policyFields[field].accepts(value)) right.push([field, value]);
    else report(`${field} must be ${policyFields[field].mustBe}.`);
  }
  return Object.fromEntries(right);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isPolicyField(field: string): field is keyof TopicPolicy {
  return Object.hasOwn(policyFields, field);
}

/** `"a", "b" or "c"` */
export function oneWordOf(words: readonly string[]): string {
  return words
    .map((word) => `"${word}"`)
    .join(', ')
    .replace(/, ("[^"]*")$/, ' or $1');
}
