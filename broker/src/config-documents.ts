/**
 * Settings that are JSON documents, in the variable itself or in a file that it names: FANFARE_TOPICS and FANFARE_AUTH. What is wrong in
 * one is told a sentence for each mistake, and nothing of a secret one is repeated.
 */
import { z } from 'zod';
import { type AuthConfig, readAuth } from './auth/auth-config.js';
import { nearest } from './nearest.js';
import { readTextFile } from './text-file.js';
import { explainInvalidPattern } from './topics/pattern-tree.js';
import { defaultPolicy, levels, TopicPolicies, type TopicPolicy } from './topics/policy.js';

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
    about: 'What the topic promises: docs/guarantees.md.',
    schema: z.enum(levels),
  },
  historySize: integerField(
    'publications',
    defaultPolicy.historySize,
    1,
    100_000,
    'Publications kept for those who come back: at least so many, a few more may be there. Who has missed more is told so.',
  ),
  historyAgeSeconds: integerField(
    's',
    defaultPolicy.historyAgeSeconds,
    1,
    31_536_000,
    'How long the history outlives its last publication while nobody subscribes. Beyond it the history begins anew, with another epoch.',
  ),
  lastValue: {
    unit: 'boolean',
    mustBe: 'true or false',
    fallback: String(defaultPolicy.lastValue),
    about: 'Whether a new subscriber (one without `since`) gets the last publication at once.',
    schema: z.boolean(),
  },
};

/** Hears one sentence for each mistake. */
type Tell = (wrong: string) => void;

export function readPolicies(text: string, tell: Tell): TopicPolicies {
  const policies = new Map<string, Partial<TopicPolicy>>();
  for (const [pattern, policy] of Object.entries(readObject(text, policiesKind, tell) ?? {})) {
    const rule = explainInvalidPattern(pattern);
    if (rule !== null) tell(`has the pattern ${shown(pattern)}, which ${rule}.`);
    policies.set(
      pattern,
      readPolicy(policy, (wrong) => tell(`at ${shown(pattern)}: ${wrong}`)),
    );
  }
  return new TopicPolicies(policies);
}

/** What a setting that is a JSON document must be. */
interface DocumentKind {
  /** To go on from "must be". */
  readonly mustBe: string;
  /** Nothing of it may stand in a sentence. */
  readonly isSecret: boolean;
}

const policiesKind: DocumentKind = {
  mustBe: 'an object of patterns and their policies such as {"prices.>":{"level":"fast"}}',
  isSecret: false,
};

const authKind: DocumentKind = {
  mustBe: '"none", or an object such as {"issuers":[…],"apiKeys":[…]}',
  isSecret: true,
};

/** The object in the text, or in the file that it names; null where there is none. */
function readObject(text: string, { mustBe, isSecret }: DocumentKind, tell: Tell): object | null {
  const file = text.startsWith('@') ? text.slice(1) : null;
  let json = text;
  try {
    if (file !== null) json = readTextFile(file);
  } catch (error) {
    tell(`names the file ${shown(file)}, which cannot be read: ${reason(error)}.`);
    return null;
  }
  try {
    const value: unknown = JSON.parse(json);
    if (isObject(value)) return value;
    tell(`must be ${mustBe}${isSecret ? '' : `, not ${shown(value)}`}.`);
  } catch (error) {
    const wrong =
      file === null
        ? 'is neither JSON nor "@" and the path of a file'
        : `names the file ${shown(file)}, which is not JSON`;
    // JSON.parse quotes what it read.
    tell(isSecret ? `${wrong}.` : `${wrong}: ${reason(error)}.`);
  }
  return null;
}

export function readAuthSetting(text: string | null, tell: Tell): AuthConfig | 'none' | null {
  if (text === null || text === 'none') return text;
  const document = readObject(text, authKind, tell);
  return document === null ? null : readAuth(document, tell);
}

function readPolicy(policy: unknown, tell: Tell): Partial<TopicPolicy> {
  if (!isObject(policy)) {
    tell(`a policy must be an object such as {"level":"fast"}, not ${shown(policy)}.`);
    return {};
  }
  const fields = Object.entries(policy);
  const isFast = fields.some(([field, value]) => field === 'level' && value === 'fast');
  const right: Array<[string, unknown]> = [];
  for (const [field, value] of fields) {
    if (field === 'presence') tell('"presence" is not available in this version: leave it out.');
    else if (!isPolicyField(field)) tell(unknownField(field));
    else if (isFast && field !== 'level') tell(`a topic of level "fast" keeps no history: leave out ${field}.`);
    else if (policyFields[field].schema.safeParse(value).success) right.push([field, value]);
    else tell(`${field} must be ${policyFields[field].mustBe}, not ${shown(value)}.`);
  }
  return Object.fromEntries(right);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isPolicyField(field: string): field is keyof TopicPolicy {
  return Object.hasOwn(policyFields, field);
}

function unknownField(field: string): string {
  const known = Object.keys(policyFields);
  const meant = nearest(field, known);
  const hint = meant === null ? `those there are: ${known.join(', ')}.` : `did you mean ${meant}?`;
  return `${shown(field)} is no field of a policy; ${hint}`;
}

/** A value from JSON, as it may stand in a sentence. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= 80 ? text : `${text.slice(0, 79)}…`;
}

/** So much of what a library says is repeated: it may hold the name of a file, which is said already. */
const maxReason = 300;

/** What a library says of its failure, on one line. */
function reason(error: unknown): string {
  return (error as Error).message.replace(/[\s\p{Cc}]+/gu, ' ').slice(0, maxReason);
}

/** `"a", "b" or "c"` */
export function oneWordOf(words: readonly string[]): string {
  return words
    .map((word) => `"${word}"`)
    .join(', ')
    .replace(/, ("[^"]*")$/, ' or $1');
}
