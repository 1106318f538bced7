/** The text of `fanfare node --help`: every setting, from its declaration. */
import { settings } from './config.js';
import { policyFields } from './config-documents.js';

const examplePolicies = {
  'prices.>': { level: 'fast' },
  'orders.*': { level: 'durable', historySize: 1_000, historyAgeSeconds: 3_600, lastValue: true },
};

const exampleAuth = {
  issuers: [
    { issuer: 'https://id.example.com', audience: 'fanfare', jwksUrl: 'https://id.example.com/.well-known/jwks.json' },
  ],
  apiKeys: [{ id: 'orders', sha256: '9f86d081884c7d65…', permissions: { publish: ['orders.>'] } }],
};

export function helpText(): string {
  const lines = Object.values(settings).map(({ name, ...setting }) => entry(name, setting));
  const fields = Object.entries(policyFields).map(([field, declaration]) => entry(field, declaration));
  return `Fanfare: a node of a pub/sub broker.

Usage: fanfare node [--help]
       fanfare api-key <id>    create an API key and its entry for FANFARE_AUTH

In a clone of the repository: npm start, npm start -- --help, npm start -- api-key orders

All settings are environment variables:

${lines.join('\n')}
Example of FANFARE_TOPICS:

  ${JSON.stringify(examplePolicies)}

"*" matches exactly one segment of a topic; ">" (only last) matches one or more. Only the most specific pattern applies.
Fields of a policy (a policy of level "fast" may have only the field level):

${fields.join('\n')}
Example of FANFARE_AUTH (fields: docs/reference/settings.md):

  ${JSON.stringify(exampleAuth)}
`;
}

interface Declaration {
  readonly about: string;
  readonly mustBe: string;
  readonly fallback: string;
}

function entry(name: string, { about, mustBe, fallback }: Declaration): string {
  return `  ${name}\n      ${plain(about)}\n      ${plain(mustBe)}; default ${plain(fallback)}\n`;
}

function plain(text: string): string {
  return text.replaceAll('`', '');
}
