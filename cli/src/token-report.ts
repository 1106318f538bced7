/** What a token says, in sentences. */

export interface TokenReport {
  readonly header: unknown;
  readonly claims: unknown;
  readonly facts: readonly string[];
  /** Why no node accepts it. */
  readonly problems: readonly string[];
  /** The patterns of topics that it permits, by action; null if it does not say. */
  readonly grants: Grants | null;
}

type Grants = Readonly<Partial<Record<(typeof actions)[number], readonly string[]>>>;

const actions = ['publish', 'subscribe', 'history'] as const;

const apiKeyGrammar = /^fk_([A-Za-z0-9-]{1,64})_/;

const algorithms = ['HS256', 'RS256', 'ES256', 'EdDSA'];

export function explainToken(token: string, nowMs: number): TokenReport {
  const apiKey = apiKeyGrammar.exec(token);
  if (apiKey !== null) {
    const facts = [`An API key of the service "${apiKey[1]}". Its permissions are in FANFARE_AUTH of the nodes.`];
    return { header: null, claims: null, facts, problems: [], grants: null };
  }
  const [head = '', body = '', signature, ...others] = token.split('.');
  const header = decoded(head);
  const claims = decoded(body);
  if (header === null || claims === null || signature === undefined || others.length > 0) {
    const problem = 'This is neither a JWT (three parts with "." between them) nor an API key (it begins with "fk_").';
    return { header, claims, facts: [], problems: [problem], grants: null };
  }
  const report = { facts: [] as string[], problems: [] as string[] };
  const { alg, kid } = header;
  report.facts.push(`A JWT, signed with ${text(alg)}${kid === undefined ? '' : `, key ${text(kid)}`}.`);
  if (!algorithms.includes(String(alg))) {
    report.problems.push(`Its algorithm is ${text(alg)}. Nodes accept ${algorithms.join(', ')}.`);
  }
  const { iss, sub, aud, jti } = claims;
  report.facts.push(
    `Issuer: ${text(iss)}. Subject: ${text(sub)}.${aud === undefined ? '' : ` Audience: ${text(aud)}.`}`,
  );
  if (jti !== undefined) report.facts.push(`Id for revocation: ${text(jti)}.`);
  if (typeof iss !== 'string') report.problems.push('It has no issuer (claim iss).');
  if (typeof sub !== 'string') report.problems.push('It has no subject (claim sub).');
  explainTimes(claims, nowMs, report);
  const grants = explainGrants(claims['fanfare'], report);
  return { header, claims, ...report, grants };
}

type Table = Readonly<Record<string, unknown>>;

function decoded(part: string): Table | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Table) : null;
  } catch {
    return null;
  }
}

interface Findings {
  readonly facts: string[];
  readonly problems: string[];
}

function explainTimes({ exp, iat, nbf }: Table, nowMs: number, { facts, problems }: Findings): void {
  if (typeof iat === 'number') facts.push(`Issued ${timeText(iat, nowMs)}.`);
  if (typeof nbf === 'number' && nbf * 1_000 > nowMs) problems.push(`It is not valid before ${timeText(nbf, nowMs)}.`);
  if (typeof iat === 'number' && iat * 1_000 > nowMs + 60_000) {
    problems.push('It was issued in the future: the clock of the issuer or of this machine is wrong.');
  }
  if (typeof exp !== 'number') problems.push('It has no expiry (claim exp).');
  else if (exp * 1_000 <= nowMs) problems.push(`It has expired: ${timeText(exp, nowMs)}.`);
  else facts.push(`Expires ${timeText(exp, nowMs)}.`);
}

function explainGrants(value: unknown, { facts, problems }: Findings): Grants | null {
  if (typeof value !== 'object' || value === null) {
    problems.push('It permits nothing: the claim "fanfare" is missing, such as {"subscribe":["chat.>"]}.');
    return null;
  }
  const grants: Partial<Record<(typeof actions)[number], readonly string[]>> = {};
  for (const action of actions) {
    const patterns = (value as Table)[action];
    if (patterns === undefined) continue;
    if (!Array.isArray(patterns) || !patterns.every((pattern) => typeof pattern === 'string')) {
      problems.push(`The permission ${action} must be a list of patterns such as ["chat.>"].`);
      continue;
    }
    grants[action] = patterns;
    facts.push(`May ${verbs[action]}: ${patterns.length === 0 ? 'nothing' : patterns.map(text).join(', ')}.`);
  }
  if (Object.keys(grants).length === 0) facts.push('May do nothing.');
  return grants;
}

const verbs = { publish: 'publish to', subscribe: 'subscribe to and read', history: 'read the history of' };

function text(value: unknown): string {
  if (value === undefined) return 'missing';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** `2026-12-01 10:00:00 UTC (in 15 min)`. */
function timeText(seconds: number, nowMs: number): string {
  const date = new Date(seconds * 1_000);
  if (Number.isNaN(date.getTime())) return `at the invalid time ${seconds}`;
  const away = seconds * 1_000 - nowMs;
  const distance = distanceText(Math.abs(away) / 1_000);
  const stamp = date
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');
  return `${stamp} (${away >= 0 ? `in ${distance}` : `${distance} ago`})`;
}

export function distanceText(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}
