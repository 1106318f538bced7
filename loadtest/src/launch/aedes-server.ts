/**
 * Aedes, the MQTT broker for Node, over WebSocket as its documentation sets it up ("MQTT server over WebSocket"), in
 * memory.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Aedes } from 'aedes';
import { createWebSocketStream, WebSocketServer } from 'ws';

// The heartbeat publishes its own status, which nothing here reads, so once a day is enough.
const broker = await Aedes.createBroker({ heartbeatInterval: 86_400_000 });
const server = createServer();
const webSockets = new WebSocketServer({
  server,
  perMessageDeflate: false,
  maxPayload: 16 * 1_048_576,
  clientTracking: false,
});

webSockets.on('connection', (socket, request) => {
  broker.handle(createWebSocketStream(socket), request);
});

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ event: 'listening', port })}\n`);
});
