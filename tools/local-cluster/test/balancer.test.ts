/** The balancer in front of the nodes: which node gets a connection, and how it forwards a close. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { Balancer, type Choice } from '../src/balancer.js';

/** A node that sends its name to every new connection. */
interface Greeter {
  readonly server: Server;
  readonly port: number;
  readonly sockets: Socket[];
}

const greeters: Greeter[] = [];
const clients: Socket[] = [];

afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
  for (const { server, sockets } of greeters.splice(0)) {
    server.close();
    for (const socket of sockets) socket.destroy();
  }
});

async function greeter(name: string): Promise<Greeter> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.write(name);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const made = { server, sockets, port: (server.address() as AddressInfo).port };
  greeters.push(made);
  return made;
}

async function threeNodes(choice: Choice = 'inTurn'): Promise<Balancer> {
  const nodes = [await greeter('a'), await greeter('b'), await greeter('c')];
  return await Balancer.start({ ports: nodes.map(({ port }) => port), choice });
}

async function dial(balancer: Balancer): Promise<Socket> {
  const client = connect({ host: '127.0.0.1', port: Number(new URL(balancer.url).port) });
  client.on('error', () => {});
  clients.push(client);
  await once(client, 'connect');
  return client;
}

async function greeting(balancer: Balancer): Promise<string> {
  const [bytes] = (await once(await dial(balancer), 'data')) as [Buffer];
  return String(bytes);
}

async function greetings(balancer: Balancer, count: number): Promise<string> {
  let heard = '';
  for (let index = 0; index < count; index++) heard += await greeting(balancer);
  return heard;
}

it('the balancer uses the nodes in turn', async () => {
  await using balancer = await threeNodes();
  expect(await greetings(balancer, 6)).toBe('abcabc');
});

it('the balancer uses the first node, and the others in turn if the first is down', async () => {
  await using balancer = await threeNodes('first');
  expect(await greetings(balancer, 3)).toBe('aaa');
  balancer.markDown(0);
  expect([...(await greetings(balancer, 4))].toSorted().join('')).toBe('bbcc');
  balancer.markUp(0);
  expect(await greeting(balancer)).toBe('a');
});

it('the balancer skips a node that refuses connections', async () => {
  await using balancer = await threeNodes();
  greeters[1]?.server.close();
  expect(await greetings(balancer, 3)).toBe('acc');
});

it('the balancer resets a connection that no node accepts', async () => {
  await using balancer = await threeNodes();
  for (const index of [0, 1, 2]) balancer.markDown(index);
  const client = connect({ host: '127.0.0.1', port: Number(new URL(balancer.url).port) });
  const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
  expect(error.code).toBe('ECONNRESET');
});

it('the balancer forwards the end and the reset of a node', async () => {
  await using balancer = await threeNodes('first');
  const [ended, broken] = [await dial(balancer), await dial(balancer)];
  await Promise.all([once(ended, 'data'), once(broken, 'data')]);
  const [first, second] = greeters[0]?.sockets ?? [];
  first?.end('bye');
  const [bytes] = (await once(ended, 'data')) as [Buffer];
  expect(String(bytes)).toBe('bye');
  await once(ended, 'end');
  second?.resetAndDestroy();
  const [error] = (await once(broken, 'error')) as [NodeJS.ErrnoException];
  expect(error.code).toBe('ECONNRESET');
});

it('the balancer reads nothing from the nodes while it is stalled, and everything afterwards', async () => {
  await using balancer = await threeNodes('first');
  const client = await dial(balancer);
  await once(client, 'data');
  balancer.stall();
  const node = greeters[0]?.sockets[0];
  let written = 0;
  // Until the node must wait because nobody reads.
  while (node?.write(Buffer.alloc(1_048_576)) === true || written < 64) written++;
  let read = 0;
  client.on('data', (bytes: Buffer) => {
    read += bytes.length;
  });
  const drained = once(node as Socket, 'drain');
  balancer.resume();
  await drained;
  node?.end();
  await once(client, 'end');
  expect(read).toBe((written + 1) * 1_048_576);
});
