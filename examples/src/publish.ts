/** `npm run publish -- <topic> <json> [url]`: publishes one value, and says whether the broker has accepted it. */
import { createClient, FanfareError } from '@fanfare/client';

const [topic, text, url = 'ws://127.0.0.1:8080/ws'] = process.argv.slice(2);

if (topic === undefined || text === undefined) {
  process.stderr.write(`Say what to publish where: npm run publish -- news '{"title":"hello"}'\n`);
  process.exit(2);
}

const client = createClient(url);
client.on('state', (state) => {
  if (state.name === 'connecting' && state.attempt > 0) process.stderr.write(`${state.reason}; trying again.\n`);
});
try {
  await client.publish(topic, JSON.parse(text));
  process.stdout.write(`Published to ${topic}.\n`);
} catch (error) {
  const hint = error instanceof SyntaxError ? `${text} is not JSON. In a shell, put it in single quotes.` : '';
  process.stderr.write(`${hint || (error instanceof FanfareError ? error.message : String(error))}\n`);
  process.exitCode = 1;
} finally {
  await client.close();
}
