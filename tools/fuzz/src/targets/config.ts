/** The configuration: mistakes of operators, and of programs that set variables for them. */
import { ConfigError, loadConfig } from '@fanfare/broker';
import { Finding, hold, holdSentence, list, type Target, textOf, texts } from '../target.js';

const jwt =
  'FANFARE_AUTH={"issuers":[{"issuer":"https://id.example.com","audience":"fanfare","keys":[{"algorithm":"HS256","secret":"hunter2-hunter2-hunter2-hunter2-hunter2","kid":"1"}],"clockSkewSeconds":5,"maxLifetimeSeconds":86400}]}';
const apiKeys =
  'FANFARE_AUTH={"apiKeys":[{"id":"orders","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","permissions":{"publish":["chat.>"]},"admin":true}]}';

const fields = list('level historySize historyAgeSeconds lastValue presence issuers issuer audience keys');
const moreFields = list('algorithm secret publicKey jwksUrl kid apiKeys sha256 permissions hook url');
const values = list('"fast" "durable" "chat.>" "HS256" "RS256" true [ {} "https://a.example" -1 null');

/** Variables are separated by a byte that no variable can contain. */
const separator = '\u0000';

export const config: Target = {
  about: 'environment variables',
  seeds: texts(
    ...['FANFARE_TOPICS={"prices.>":{"level":"fast"},"chat.*":{"historySize":10,"lastValue":true}}', jwt, apiKeys],
    ...list('FANFARE_AUTH=none FANFARE_AUTH=@keys.json FANFARE_TOPICS=@topics.json FANFARE_TOPIC={} FANFARE_PORT=x'),
    ...['FANFARE_ORIGINS=https://app.example.com,*', 'FANFARE_TRUSTED_PROXIES=10.0.0.0/8,::1/128', 'FANFARE_WORKERS=2'],
    ...['FANFARE_PORT=tcp://10.0.0.1:8080', 'FANFARE_REDIS_URL=redis://u:hunter2@h:1', 'FANFARE_HOST=0.0.0.0'],
    ...[
      'FANFARE_REDIS_URL=redis+shards://u:hunter2@h:1;u:hunter2@i/1',
      'FANFARE_REDIS_URL=redis+cluster://u:hunter2@h,i',
    ],
    'FANFARE_REDIS_URL=rediss+shards+sentinel://u:hunter2@h,i/m;j/n?db=1&sentinelPassword=hunter2',
    ['FANFARE_PORT=1', 'FANFARE_ADMIN_PORT=1', 'FANFARE_NODE_NAME=a'].join(separator),
  ),
  words: [
    ...[...fields, ...moreFields].map((field) => `"${field}":`),
    ...values,
    separator,
    '%eth0',
    '/64',
    'tcp://',
    'redis+shards://',
    'redis+cluster://',
    '\n',
  ],
  files: [
    'broker/dist/settings/config',
    'broker/dist/limits/origins',
    'broker/dist/limits/addresses',
    'broker/dist/redis/placement',
    'broker/dist/redis/redis-url',
    'broker/dist/topics/pattern-tree',
  ].concat(['broker/dist/auth/auth-config', 'broker/dist/auth/permissions']),
  maxBytes: 4_096,
  // Each unknown name is compared with every setting.
  costs: 4,
  run(input) {
    const environment: Record<string, string> = Object.create(null);
    for (const variable of textOf(input).split(separator)) {
      const [name = '', ...rest] = variable.split('=');
      // A file of this machine must not influence the result (it might be /dev/zero).
      environment[name] = rest.join('=').replace(/^@/, '@/nowhere/');
    }
    let sentences: readonly string[];
    try {
      loadConfig(environment);
      return;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      sentences = error.sentences;
    }
    hold(sentences.length > 0, () => 'An error without a sentence.');
    for (const sentence of sentences) {
      holdSentence(sentence);
      hold(/FANFARE_/.test(sentence), () => `It does not say which setting: ${sentence}`);
      // No sentence may repeat the input: it may contain a secret in the wrong place.
      if (sentence.includes('hunter2')) throw new Finding('A password is shown.');
    }
  },
};
