/** Local delivery while replies wait to be sent before it. */
import { MsgpackClientCodec, MsgpackNodeCodec, Writer, writeItem } from '@fanfare/protocol';
import { expect, it } from 'vitest';
import { Metrics } from '../src/observe/metrics.js';
import { Fanout } from '../src/topics/fanout.js';
import { Registry } from '../src/topics/registry.js';
import { topic } from './relay.contract.js';

it('earlier replies do not overwrite a publication that is encoded in the same buffer', () => {
  const codec = new MsgpackNodeCodec();
  const client = new MsgpackClientCodec({ encode: () => new Uint8Array(), decode: (bytes) => bytes[0] });
  const registry = new Registry();
  registry.add(topic('t'), 'msgpack');
  const sent: unknown[] = [];
  const take = (frame: string | Uint8Array): void => {
    sent.push(client.decode(Uint8Array.from(frame as Uint8Array).buffer));
  };
  const outlet = {
    sendEarlier: () =>
      take(
        codec.reply({
          type: 'error',
          id: 200,
          code: 'unconfirmed',
          message: 'Try it again.',
          retryable: true,
          retryAfterMs: null,
        }),
      ),
    broadcast: (_group: string, frame: string | Uint8Array) => take(frame),
  };
  const fanout = new Fanout(registry, [codec], outlet, new Metrics().counters);
  const writer = new Writer();
  writeItem(writer, { encoding: 'msgpack', bytes: Uint8Array.of(7), start: 0, end: 1, key: null, remove: false });
  fanout.deliver(topic('t'), null, { count: 1, bytes: writer.view(), hasKeys: false });
  fanout.notifyGap(topic('t'), null);
  expect(sent).toMatchObject([
    { type: 'error', code: 'unconfirmed' },
    { type: 'publications', items: [{ data: 7 }] },
    { type: 'error', code: 'unconfirmed' },
    { type: 'gap', topic: 't' },
  ]);
});
