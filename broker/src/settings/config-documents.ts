/**
 * Settings that are JSON documents, in the variable itself or in a file that it names: FANFARE_TOPICS and FANFARE_AUTH. Each mistake is
 * one sentence, which names the place and repeats nothing: a secret may be in the wrong place.
 */
import { z } from 'zod';
import { type AuthConfig, type AuthSetting, readAuth } from '../auth/auth-config.js';
import { explainUnknown } from '../files/nearest.js';
import { readTextFile } from '../files/text-file.js';
import { explainInvalidPattern } from '../topics/pattern-tree.js';
import { defaultPolicy, levels, TopicPolicies, type TopicPolicy } from '../topics/policy.js';

interface PolicyField<Value> {
  readonly unit: string;
  /** What the value must be, for the error: "must be …". */
  readonly mustBe: string;
  /** The default as a person would write it. */
  readonly fallback: string;
  readonly about: string;
  readonly schema: z.ZodType<Value>;
}

function integerField(unit: string, fallback: number, least: number, most: number, about: string): PolicyField<number> {
  const schema = z.int().min(least).max(most);
  return { unit, mustBe: `an integer from ${least} to ${most}`, fallback: String(fallback), about, schema };
}

/** The fields of a policy in FANFARE_TOPICS, declared once like the settings. Beside level fast none of the others may stand. */
export const policyFields: { readonly [Field in keyof TopicPolicy]: PolicyField<TopicPolicy[Field]> } = {
  level: {
    unit: 'word',
    mustBe: oneWordOf(levels),
    fallback: defaultPolicy.level,
    about: 'Delivery guarantee of the topic: docs/guarantees.md.',
    schema: z.enum(levels),
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
    schema: z.boolean(),
  },
};

/** Hears one sentence for each mistake. */
type Tell = (wrong: string) => void;

export function readPolicies(text: string, tell: Tell): TopicPolicies {
  const policies = new Map<string, Partial<TopicPolicy>>();
  for (const [index, [pattern, policy]] of Object.entries(readObject(text, policiesForm, tell) ?? {}).entries()) {
    const tellHere: Tell = (wrong) => tell(`at pattern ${index + 1}: ${wrong}`);
    const rule = explainInvalidPattern(pattern);
    if (rule !== null) tellHere(`it ${rule}.`);
    policies.set(pattern, readPolicy(policy, tellHere));
  }
  return new TopicPolicies(policies);
}

const policiesForm = 'an object that maps patterns to policies, such as {"prices.>":{"level":"fast"}}';
const authForm = '"none", or an object such as {"issuers":[…],"apiKeys":[…]}';

/** The object in the text, or in the file that it names; null if there is none. `mustBe`: what it is, to go on from "must be". */
function readObject(text: string, mustBe: string, tell: Tell): object | null {
  const isFile = text.startsWith('@');
  let json = text;
  try {
    if (isFile) json = readTextFile(text.slice(1));
  } catch (error) {
    tell(`names a file that cannot be read: ${(error as Error).message}.`);
    return null;
  }
  try {
    const value: unknown = JSON.parse(json);
    if (isObject(value)) return value;
    tell(`must be ${mustBe}.`);
  } catch (error) {
    const wrong = isFile ? 'names a file that is not JSON' : 'is neither JSON nor "@" followed by the path of a file';
    tell(`${wrong}${lineOf(error, json)}.`);
  }
  return null;
}

/** `: see line 3` if JSON.parse says where. The rest of its message quotes what it read. */
function lineOf(error: unknown, json: string): string {
  const position = /at position (\d+)/.exec((error as Error).message)?.[1];
  return position === undefined ? '' : `: see line ${json.slice(0, Number(position)).split('\n').length}`;
}

export function readAuthSetting(text: string | null, tell: Tell): AuthSetting | 'none' | null {
  if (text === null || text === 'none') return text;
  const read = (tell: Tell, isStart: boolean): AuthConfig | null => {
    const document = readObject(text, authForm, tell);
    return document === null ? null : readAuth(document, text.startsWith('@') ? text.slice(1) : null, tell, isStart);
  };
  const auth = read(tell, true);
  return auth === null ? null : { ...auth, reread: (tell) => read(tell, false) };
}

function readPolicy(policy: unknown, tell: Tell): Partial<TopicPolicy> {
  if (!isObject(policy)) {
    tell('a policy must be an object such as {"level":"fast"}.');
    return {};
  }
  const fields = Object.entries(policy);
  const isFast = fields.some(([field, value]) => field === 'level' && value === 'fast');
  const right: Array<[string, unknown]> = [];
  for (const [index, [field, value]] of fields.entries()) {
    if (field === 'presence') tell('"presence" is not available in this version. Remove it.');
    else if (!isPolicyField(field))
      tell(`field ${index + 1} of the policy is unknown; ${explainUnknown(field, Object.keys(policyFields))}`);
    else if (isFast && field !== 'level') tell(`a topic of level "fast" keeps no history. Remove ${field}.`);
    else if (policyFields[field].schema.safeParse(value).success) right.push([field, value]);
    else tell(`${field} must be ${policyFields[field].mustBe}.`);
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
