/** The settings as people read them: `fanfare --help` and docs/configuration.md. */
import { settings } from './config.js';

export function helpText(): string {
  const lines = Object.values(settings).map(
    ({ name, about, fallback, mustBe }) =>
      `  ${name}\n      ${plain(about)}\n      ${plain(mustBe)}; default ${plain(fallback)}\n`,
  );
  return `Fanfare: a node of a pub/sub broker.\n\nUsage: fanfare [--help]\n\nAll settings are environment variables:\n\n${lines.join('\n')}`;
}

export function configurationPage(): string {
  const rows = Object.values(settings).map(
    ({ name, unit, fallback, mustBe, about }) => `| \`${name}\` | ${about} | ${mustBe} | ${unit} | ${fallback} |`,
  );
  return `# Configuration

<!-- Generated from broker/src/config.ts by \`npm run docs\`. -->

A node is configured by environment variables. A value that is wrong, or a variable that begins with \`FANFARE_\` and is
no setting, stops the start with a sentence that names it. An empty variable counts as unset.

| variable | what it is, and what happens at the limit | values | unit | default |
|---|---|---|---|---|
${rows.join('\n')}
`;
}

function plain(text: string): string {
  return text.replaceAll('`', '');
}
