/** `fanfare doctor`: checks the way to a broker, and says in sentences what is wrong and what to do. */
import { Argument, type Command } from 'commander';
import { addBrokerOptions, type BrokerOptions, brokerOf, defaultUrl, parseSeconds } from '../broker.js';
import { declare } from '../command.js';
import type { Finding, Report, Verdict } from '../doctor/finding.js';
import { counted, jsonText, styled, visible } from '../output.js';

interface Options extends BrokerOptions {
  readonly topic?: string;
  readonly idle?: number;
  readonly json?: true;
}

export function doctorCommand(): Command {
  const command = declare(
    'doctor',
    'Check the way to a broker, and explain problems: name, port, certificate, proxies, WebSocket, event streams, clock, token, Redis.',
    [
      { command: 'fanfare doctor wss://example.com', about: 'all checks that publish nothing' },
      {
        command: 'fanfare doctor wss://example.com --topic chat.lobby',
        about: 'also publish a message, and wait until it comes back',
      },
      { command: 'fanfare doctor --idle 90', about: 'also keep a connection silent for 90 seconds' },
    ],
  )
    .addArgument(new Argument('[url]', `the broker; without it, FANFARE_URL or ${defaultUrl}`))
    .option('--topic <topic>', 'publish one message to this topic')
    .option('--idle <seconds>', 'keep a connection silent for this long', parseSeconds)
    .option('--json', 'print {"problems","warnings","findings"}');
  return addBrokerOptions(command).action(examine);
}

async function examine(url: string | undefined, options: Options): Promise<void> {
  const broker = brokerOf(url === undefined ? options : { ...options, url });
  const findings: Finding[] = [];
  const report: Report = (finding) => {
    findings.push(finding);
    if (!options.json) print(finding);
  };
  if (!options.json) process.stdout.write(`${broker.shown}\n\n`);
  // Other commands do not need what it loads.
  const { runChecks } = await import('../doctor/checks.js');
  await runChecks(broker, options, report);
  const count = (verdict: Verdict): number => findings.filter((finding) => finding.verdict === verdict).length;
  const [problems, warnings] = [count('problem'), count('warning')];
  if (options.json) process.stdout.write(`${jsonText({ url: broker.shown, problems, warnings, findings })}\n`);
  else process.stdout.write(`\n${summaryOf(problems, warnings)}\n`);
  if (problems > 0) process.exitCode = 1;
}

const marks: Readonly<Record<Verdict, readonly [text: string, style: 'green' | 'yellow' | 'red' | 'gray']>> = {
  ok: ['ok      ', 'green'],
  warning: ['warning ', 'yellow'],
  problem: ['PROBLEM ', 'red'],
  skipped: ['skipped ', 'gray'],
};

function print({ verdict, sentence, cause, advice }: Finding): void {
  const [text, style] = marks[verdict];
  const lines = [`${styled(style, text)} ${visible(sentence)}`];
  if (cause !== undefined) lines.push(`         Likely cause: ${visible(cause)}`);
  if (advice !== undefined) lines.push(`         What to do: ${visible(advice)}`);
  process.stdout.write(`${lines.join('\n')}\n`);
}

function summaryOf(problems: number, warnings: number): string {
  if (problems === 0 && warnings === 0) return 'All is well.';
  const parts = [
    ...(problems === 0 ? [] : [counted(problems, 'problem')]),
    ...(warnings === 0 ? [] : [counted(warnings, 'warning')]),
  ];
  return `${parts.join(' and ')}. ${problems === 0 ? 'The broker works.' : 'The first problem is often the cause of the others.'}`;
}
