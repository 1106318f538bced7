/**
 * The baseline of publishing over HTTP: plain uWebSockets.js, which parses the JSON body and answers. It delivers
 * nothing. It has the route of a Fanfare node, and about the same answer.
 */
import uWebSockets from 'uWebSockets.js';

const app = uWebSockets.App();

app.post('/v1/topics/:topic/publications', (response, request) => {
  const topic = request.getParameter(0);
  // An answer without one may end the process.
  response.onAborted(() => {});
  let pieces: Buffer | null = null;
  response.onData((piece, isLast) => {
    // The usual body arrives whole, and is parsed before its memory is reused.
    const body = pieces === null ? Buffer.from(piece) : Buffer.concat([pieces, Buffer.from(piece)]);
    if (!isLast) {
      pieces = Buffer.from(body);
      return;
    }
    JSON.parse(body.toString());
    response.cork(() => {
      response.writeStatus('200 OK').writeHeader('Content-Type', 'application/json').end(`{"topic":"${topic}"}`);
    });
  });
});

app.listen('127.0.0.1', 0, (listening) => {
  if (!listening) throw new Error('The raw HTTP server cannot listen on 127.0.0.1.');
  const port = uWebSockets.us_socket_local_port(listening);
  process.stdout.write(`${JSON.stringify({ event: 'listening', port })}\n`);
});
