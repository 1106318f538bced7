/** A program in TypeScript that uses the client. It compiles as an ES module and as CommonJS. */
export const typedApp = `
import { createClient, type Client, type ReplyError } from '@fanfare/client';
import { createClient as createFallbackClient, type Transport } from '@fanfare/client/fallback';
import { createClient as createJsonClient } from '@fanfare/client/json';
interface Topics { 'chat.lobby': { text: string }; [topic: \`prices.\${string}\`]: { bid: number } }
const client: Client<Topics> = createClient<Topics>('ws://127.0.0.1:1/ws', { autoConnect: false });
const json = createJsonClient<Topics>('ws://127.0.0.1:1/ws');
const fallback = createFallbackClient<Topics>('ws://127.0.0.1:1/ws', { transports: ['webSocket', 'longPolling'] });
const transport: Transport | null = fallback.transport;
void transport;
client.subscribe('prices.BTC', ({ data }) => data.bid.toFixed());
void json.publish('chat.lobby', { text: 'hello' });
// @ts-expect-error: no such topic.
client.subscribe('chat.attic');
const codeOf = ({ code }: ReplyError): string => code;
void codeOf;
`;
