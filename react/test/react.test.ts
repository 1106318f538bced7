/** The hooks in Chromium, with a real node. The pages use StrictMode unless they say otherwise. */
import { type Client, createClient } from '@fanfare/client';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startNode, type TestNode } from '../../broker/test/harness.js';
import { hasBrowser, launchBrowser } from '../../test/chromium.js';
import { compile, open, type Tab } from './site.js';

let browser: Browser;
beforeAll(async () => {
  if (hasBrowser) browser = await launchBrowser();
});
afterAll(() => browser?.close());

/** The beginning of every page: a client that speaks JSON, so that its commands can be read, and a root. */
const prelude = (node: TestNode): string => `
  const { FanfareProvider, useClient, useConnection, useTopic } = createHooks();
  const url = '${node.url}';
  // A node of a busy machine that answers late does not hang.
  const patient = { connectTimeoutMs: 60_000, timeoutMs: 60_000, pongTimeoutMs: 60_000 };
  const newClient = (options) =>
    createClient(url, { ...patient, reconnectBaseDelayMs: 5, reconnectMaxDelayMs: 20, ...options });
  const textOf = (items) => items.map(({ data }) => data).join();
  class Boundary extends Component {
    state = { error: null };
    static getDerivedStateFromError(error) { return { error }; }
    render() { return this.state.error === null ? this.props.children : <p>caught {this.state.error.message}</p>; }
  }
  const show = (element, client = newClient) => {
    window.reactRoot ??= createRoot(document.getElementById('root'));
    window.reactRoot.render(<StrictMode><FanfareProvider client={client}>{element}</FanfareProvider></StrictMode>);
  };
`;

/** A component that lists the numbers of the topic. */
const list = `
  const List = ({ topic = 'numbers', children, ...options }) => {
    const { data, gap, reset, status, error } = useTopic(topic, { list: 100, ...options });
    return <p>{status} {textOf(data)} {gap?.reason} {reset && 'reset'} {error?.code} {children}</p>;
  };
`;

interface World extends AsyncDisposable {
  readonly node: TestNode;
  readonly tab: Tab;
  readonly publisher: Client;
  publish(topic: string, ...data: readonly unknown[]): Promise<void>;
  /** Waits until the page shows exactly this text, except for white space. */
  shows(text: string): Promise<void>;
  subscriptions(): Promise<number>;
}

async function start(program: string, env: Readonly<Record<string, string>> = {}): Promise<World> {
  const node = await startNode(env);
  const publisher = createClient(node.url);
  await publisher.connect();
  const tab = await open(browser, await compile(prelude(node) + program));
  return {
    node,
    tab,
    publisher,
    async publish(topic, ...data) {
      for (const each of data) await publisher.publish(topic, each);
    },
    async shows(text) {
      await eventually(tab.text, text);
    },
    subscriptions: () => node.metric('fanfare_subscriptions'),
    async [Symbol.asyncDispose]() {
      await tab[Symbol.asyncDispose]();
      await publisher.close();
      await node[Symbol.asyncDispose]();
    },
  };
}

/** Waits until `read` returns the value. `expect.poll` would need the context of a concurrent test. */
async function eventually(read: () => Promise<unknown>, expected: unknown): Promise<void> {
  await vi.waitFor(async () => expect(await read()).toEqual(expected), { timeout: 60_000, interval: 20 });
}

describe.skipIf(!hasBrowser).concurrent('in Chromium', () => {
  it('components share one connection and one subscription, in StrictMode and in every mode', async () => {
    await using world = await start(`${list}
      const Last = () => <p>last {useTopic('numbers').data}</p>;
      const sum = (state, { data }) => state + data;
      const Sum = () => <p>sum {useTopic('numbers', { reduce: sum, initial: 0 }).data}</p>;
      show(<><List /><List /><Last /><Sum /></>);
    `);
    await world.shows('subscribed subscribed last sum 0');
    await world.publish('numbers', 1, 2, 3);
    await world.shows('subscribed 1,2,3 subscribed 1,2,3 last 3 sum 6');
    expect(await world.subscriptions()).toBe(1);
    // Not even for a moment.
    expect([world.tab.sent('connect'), world.tab.sent('subscribe'), world.tab.sent('unsubscribe')]).toEqual([1, 1, 0]);
    expect(world.tab.problems).toEqual([]);
  });

  it('components use a client without a WebSocket, and can show its transport', async () => {
    await using world = await start(`${list}
      import { fallback } from '/packages.js';
      const Transport = () => <p>{useConnection().name} {useClient().transport}</p>;
      const newFallback = () => fallback.createClient(url, { ...patient, transports: ['serverSentEvents'] });
      show(<><List /><Transport /></>, newFallback);
    `);
    await world.shows('subscribed connected serverSentEvents');
    await world.publish('numbers', 1, 2, 3);
    await world.shows('subscribed 1,2,3 connected serverSentEvents');
    expect(await world.subscriptions()).toBe(1);
    expect([world.tab.sent('connect'), world.tab.problems]).toEqual([0, []]);
  });

  it('a component that replaces another keeps the subscription and the data', async () => {
    await using world = await start(`${list}
      window.goTo = (page) => show(<List key={page}>{page}</List>);
      goTo('one');
    `);
    await world.shows('subscribed one');
    await world.publish('numbers', 1, 2);
    await world.shows('subscribed 1,2 one');
    for (const page of ['two', 'three', 'four']) {
      await world.tab.page.evaluate(`goTo('${page}')`);
      await world.shows(`subscribed 1,2 ${page}`);
    }
    expect([world.tab.sent('subscribe'), world.tab.sent('unsubscribe')]).toEqual([1, 0]);
  });

  it('without components, the subscription ends after a second, and another one begins with the history', async () => {
    await using world = await start(`${list}
      window.client = newClient();
      window.mount = () => show(<List last={2} />, client);
      window.unmount = () => show(null, client);
      mount();
    `);
    await world.shows('subscribed');
    await world.publish('numbers', 1);
    await world.shows('subscribed 1');
    await world.tab.page.evaluate('unmount()');
    await eventually(world.subscriptions, 0);
    await world.publish('numbers', 2, 3);
    await world.tab.page.evaluate('mount()');
    await world.shows('subscribed 2,3');
    // The app owns this client, so it is still connected.
    expect(world.tab.sent('connect')).toBe(1);
  });

  it('a provider closes the client that it has created, but only after a second', async () => {
    await using world = await start(`${list}
      window.remove = () => reactRoot.render(null);
      show(<List />);
    `);
    await world.shows('subscribed');
    const connections = (): Promise<number> => world.node.metric('fanfare_connections');
    expect(await connections()).toBe(2);
    await world.tab.page.evaluate('remove()');
    await eventually(connections, 1);
    expect(world.tab.sent('connect')).toBe(1);
  });

  it('a hidden Activity keeps its text, and then gets everything that it missed', async () => {
    await using world = await start(`${list}
      window.setMode = (mode) => show(<Activity mode={mode}><List /></Activity>);
      setMode('visible');
    `);
    await world.shows('subscribed');
    await world.publish('numbers', 1);
    await world.shows('subscribed 1');
    await world.tab.page.evaluate(`setMode('hidden')`);
    await eventually(world.subscriptions, 0);
    expect(await world.tab.page.locator('p').textContent()).toContain('subscribed 1');
    await world.publish('numbers', 2, 3);
    await world.tab.page.evaluate(`setMode('visible')`);
    await world.shows('subscribed 1,2,3');
    expect(await world.subscriptions()).toBe(1);
  });

  it('an Activity that is hidden for a moment keeps its subscription', async () => {
    await using world = await start(`${list}
      const steps = [];
      const Steps = () => useEffect(() => { steps.push('shown'); return () => steps.push('hidden'); }, []);
      const setMode = (mode) => flushSync(() => show(<Activity mode={mode}><List /><Steps /></Activity>));
      setMode('visible');
      // In one task, so that no timer can run in between.
      window.blink = () => {
        steps.length = 0;
        setMode('hidden');
        setMode('visible');
        flushSync(() => {});
        return steps.join();
      };
    `);
    await world.shows('subscribed');
    expect(await world.tab.page.evaluate('blink()')).toMatch(/^hidden,shown/);
    await world.publish('numbers', 1);
    await world.shows('subscribed 1');
    expect([world.tab.sent('subscribe'), world.tab.sent('unsubscribe')]).toEqual([1, 0]);
  });

  it('a hidden Activity has a gap if the topic keeps no history', async () => {
    await using world = await start(
      `${list}
      window.setMode = (mode) => show(<Activity mode={mode}><List topic="fast" /></Activity>);
      setMode('visible');
    `,
      { FANFARE_TOPICS: '{"fast":{"level":"fast"}}' },
    );
    await world.shows('subscribed');
    await world.publish('fast', 1);
    await world.shows('subscribed 1');
    await world.tab.page.evaluate(`setMode('hidden')`);
    await eventually(world.subscriptions, 0);
    await world.publish('fast', 2);
    await world.tab.page.evaluate(`setMode('visible')`);
    await world.shows('subscribed 1 unsubscribed');
    await world.publish('fast', 3);
    await world.shows('subscribed 1,3 unsubscribed');
  });

  it('a provider in a hidden Activity closes its client, and connects it again, without an error', async () => {
    await using world = await start(`${list}
      window.client = null;
      window.errors = [];
      const make = () => (client = newClient());
      const root = createRoot(document.getElementById('root'));
      const Errors = () => {
        const { error } = useTopic('numbers', { list: 100 });
        if (error !== null) errors.push(error.code);
      };
      window.setMode = (mode) => root.render(
        <Activity mode={mode}><FanfareProvider client={make}><List /><Errors /></FanfareProvider></Activity>);
      setMode('visible');
    `);
    await world.shows('subscribed');
    await world.tab.page.evaluate(`setMode('hidden')`);
    await eventually(() => world.tab.page.evaluate('client.state.name'), 'disconnected');
    await world.publish('numbers', 1, 2);
    await world.tab.page.evaluate(`setMode('visible')`);
    await world.shows('subscribed 1,2');
    expect(await world.tab.page.evaluate('errors')).toEqual([]);
  });

  it('a provider also closes a client that nobody has used, and a provider that is shown again can be used', async () => {
    await using world = await start(`${list}
      const make = () => (window.client = newClient());
      const root = createRoot(document.getElementById('root'));
      window.setMode = (mode, child) => root.render(
        <Activity mode={mode}><FanfareProvider client={make}>{child}</FanfareProvider></Activity>);
      window.showList = () => setMode('visible', <List />);
      setMode('visible');
    `);
    await eventually(() => world.tab.page.evaluate('client.state.code'), 'notConnected');
    await world.tab.page.evaluate(`setMode('hidden')`);
    await eventually(() => world.tab.page.evaluate('client.state.code'), 'closedByClient');
    expect(await world.tab.page.evaluate(`client.publish('numbers', 1).catch(({ code }) => code)`)).toBe('closed');
    expect(world.tab.sent('connect')).toBe(0);
    await world.tab.page.evaluate('showList()');
    await world.shows('subscribed');
  });

  it('a component that suspends first is not subscribed, and one that suspends later stays subscribed', async () => {
    await using world = await start(`${list}
      const wait = () => { let end; const promise = new Promise((resolve) => { end = resolve; }); return { promise, end }; };
      window.first = wait();
      window.later = wait();
      let suspend;
      const Suspending = () => {
        const [waiting, setWaiting] = useState(null);
        suspend = () => setWaiting(later.promise);
        const { data, status } = useTopic('numbers', { list: 100 });
        use(first.promise);
        if (waiting) use(waiting);
        return <p>{status} {textOf(data)}</p>;
      };
      window.suspendAgain = () => suspend();
      show(<><Suspense fallback={<p>loading</p>}><Suspending /></Suspense><p>{'other'}</p></>);
    `);
    await world.shows('loading other');
    expect(world.tab.sent('subscribe')).toBe(0);
    await world.tab.page.evaluate('first.end()');
    await world.shows('subscribed other');
    await world.tab.page.evaluate('suspendAgain()');
    await world.shows('loading other');
    await world.publish('numbers', 1, 2);
    await world.tab.page.evaluate('later.end()');
    await world.shows('subscribed 1,2 other');
    expect([world.tab.sent('subscribe'), world.tab.sent('unsubscribe')]).toEqual([1, 0]);
  });

  it('renders once for many publications that arrive in separate microtasks', async () => {
    await using world = await start(`
      const number = { '~standard': { version: 1, vendor: 'test', validate: async (value) => ({ value }) } };
      window.renders = 0;
      const Numbers = () => {
        const { data } = useTopic('numbers', { list: 300 });
        renders++;
        return <p>{data.length} {data.at(-1)?.data}</p>;
      };
      show(<Numbers />, () => newClient({ schemas: { numbers: number } }));
    `);
    await world.shows('0');
    await eventually(world.subscriptions, 1);
    // They leave in one frame, and the schema delivers each in a microtask of its own.
    const numbers = Array.from({ length: 300 }, (_, index) => index);
    await Promise.all(numbers.map((number) => world.publisher.publish('numbers', number)));
    await world.shows('300 299');
    // StrictMode renders twice. Without batches it would render 600 times.
    expect(await world.tab.page.evaluate('renders')).toBeLessThan(100);
  });

  it('a list has a maximum length, and each item has an id of its own', async () => {
    await using world = await start(`
      window.ids = new Set();
      const Numbers = () => {
        const { data } = useTopic('numbers', { list: 3, last: 2 });
        for (const { id, data: number } of data) ids.add(id + ' ' + number);
        return <ul>{data.map(({ id, data }) => <li key={id}>{data}</li>)}</ul>;
      };
      show(<Numbers />);
    `);
    await eventually(world.subscriptions, 1);
    for (const number of [1, 2, 3, 4, 5]) {
      await world.publish('numbers', number);
      await eventually(() => world.tab.page.locator('li').last().textContent(), String(number));
    }
    await world.shows('3 4 5');
    // A number keeps its id, and no other has it.
    const distinct = "[ids.size, new Set([...ids].map((text) => text.split(' ')[0])).size]";
    expect(await world.tab.page.evaluate(distinct)).toEqual([5, 5]);
    expect(world.tab.problems).toEqual([]);
  });

  it('a gap keeps the data and is shown, and restart() begins again with the history', async () => {
    await using world = await start(
      `${list}
      let begin;
      const Restart = () => { begin = useTopic('numbers', { list: 100, last: 3 }).restart; return null; };
      window.restart = () => begin();
      window.setMode = (mode) => show(<Activity mode={mode}><List last={3} /><Restart /></Activity>);
      setMode('visible');
    `,
      { FANFARE_TOPICS: '{"numbers":{"historySize":5}}' },
    );
    await world.shows('subscribed');
    await world.publish('numbers', 1, 2);
    await world.shows('subscribed 1,2');
    await world.tab.page.evaluate(`setMode('hidden')`);
    await eventually(world.subscriptions, 0);
    // More than a few more than the history holds.
    const numbers = Array.from({ length: 100 }, (_, index) => index + 3);
    await Promise.all(numbers.map((number) => world.publisher.publish('numbers', number)));
    await world.tab.page.evaluate(`setMode('visible')`);
    await eventually(world.tab.text, expect.stringMatching(/^subscribed 1,2,(?!3,)[\d,]*,102 history$/));
    const before = world.tab.sent('unsubscribe');
    await world.tab.page.evaluate('restart()');
    await world.shows('subscribed 100,101,102');
    // The node has kept its subscription.
    expect(world.tab.sent('unsubscribe')).toBe(before);
  });

  it('restart() in an effect ends, also if the history does not reach back to since', async () => {
    await using world = await start(
      `
      window.restarts = {};
      const Restarting = ({ name, ...options }) => {
        const { data, gap, reset, status, restart } = useTopic('numbers', { list: 100, ...options });
        useEffect(() => {
          if (gap === null && reset === null) return;
          restarts[name] = (restarts[name] ?? 0) + 1;
          restart();
        }, [gap, reset, restart]);
        return <p>{status} {textOf(data)}</p>;
      };
      window.mount = (since, other) => show(<>
        <Restarting name="gap" since={since} last={3} />
        <Restarting name="reset" since={other} last={2} />
        <Restarting name="without last" since={since} />
      </>);
    `,
      { FANFARE_TOPICS: '{"numbers":{"historySize":5}}' },
    );
    const numbers = Array.from({ length: 100 }, (_, index) => index + 1);
    await Promise.all(numbers.map((number) => world.publisher.publish('numbers', number)));
    const { epoch } = (await world.publisher.history('numbers')).position;
    const [since, other] = [
      { epoch, offset: 1 },
      { epoch: `${epoch}0`, offset: 1 },
    ];
    await world.tab.page.evaluate(`mount(${JSON.stringify(since)}, ${JSON.stringify(other)})`);
    await world.shows('subscribed 98,99,100 subscribed 99,100 subscribed');
    await world.publish('numbers', 101);
    await world.shows('subscribed 98,99,100,101 subscribed 99,100,101 subscribed 101');
    expect(await world.tab.page.evaluate('restarts')).toEqual({ gap: 1, reset: 1, 'without last': 1 });
  });

  it('a reset empties the data', async () => {
    await using world = await start(
      `${list}
      const sum = (state, { data }) => state + data;
      const Sum = () => <p>sum {useTopic('numbers', { reduce: sum, initial: 100 }).data}</p>;
      const Last = () => <p>last {useTopic('numbers').data}</p>;
      window.setMode = (mode) => show(<Activity mode={mode}><List /><Sum /><Last /></Activity>);
      setMode('visible');
    `,
      { FANFARE_TOPICS: '{"numbers":{"historyAgeSeconds":1}}' },
    );
    await world.shows('subscribed sum 100 last');
    await world.publish('numbers', 1);
    await world.shows('subscribed 1 sum 101 last 1');
    const before = (await world.publisher.history('numbers')).position.epoch;
    await world.tab.page.evaluate(`setMode('hidden')`);
    // The history expires, and the topic begins a new one.
    await eventually(async () => (await world.publisher.history('numbers')).position.epoch === before, false);
    await world.tab.page.evaluate(`setMode('visible')`);
    await world.shows('subscribed reset sum 100 last');
    await world.publish('numbers', 2);
    await world.shows('subscribed 2 reset sum 102 last 2');
  });

  it('components continue after the app has closed the client and connected it again', async () => {
    await using world = await start(`${list}
      window.client = newClient();
      const State = () => { const state = useConnection(); return <p>{state.name} {state.code}</p>; };
      show(<><List /><State /></>, client);
    `);
    await world.shows('subscribed connected');
    await world.publish('numbers', 1);
    await world.shows('subscribed 1 connected');
    await world.tab.page.evaluate('client.close()');
    await world.shows('unsubscribed 1 disconnected closedByClient');
    await world.publish('numbers', 2);
    await world.tab.page.evaluate('client.connect()');
    await world.shows('subscribed 1,2 connected');
  });

  it('a component that mounts while the client is closed subscribes when the app connects it', async () => {
    await using world = await start(`${list}
      window.client = newClient();
      client.connect().then(() => client.close()).then(() => show(<List />, client));
    `);
    await world.shows('unsubscribed closed');
    await world.tab.page.evaluate('client.connect()');
    await world.shows('subscribed');
  });

  it('useConnection() alone opens no connection', async () => {
    await using world = await start(`
      const State = () => { const { name, code } = useConnection(); return <p>{name} {code}</p>; };
      show(<State />);
    `);
    await world.shows('disconnected notConnected');
    expect(world.tab.sent('connect')).toBe(0);
  });

  it('useClient() publishes', async () => {
    await using world = await start(`${list}
      const Button = () => {
        const client = useClient();
        return <button onClick={() => client.publish('numbers', 7)}>go</button>;
      };
      show(<><List /><Button /></>);
    `);
    await world.shows('subscribed go');
    await world.tab.page.click('button');
    await world.shows('subscribed 7 go');
  });

  it('another topic and other options are another subscription', async () => {
    await using world = await start(`${list}
      window.choose = (options) => show(<List {...options} />);
      choose({ topic: 'a' });
    `);
    await world.shows('subscribed');
    await world.publish('a', 1);
    await world.publish('b', 2);
    await world.shows('subscribed 1');
    await world.tab.page.evaluate(`choose({ topic: 'b', last: 1 })`);
    await world.shows('subscribed 2');
    await eventually(world.subscriptions, 1);
    // A client repeats a subscription that a busy machine answers late, so only the end of the first one is counted.
    await eventually(async () => world.tab.sent('unsubscribe'), 1);
  });

  it('an inline reduce does not subscribe again at each render', async () => {
    await using world = await start(`
      let again;
      const Sum = () => {
        const [renders, setRenders] = useState(1);
        again = () => setRenders(renders + 1);
        const { data, status } = useTopic('numbers', { reduce: (state, { data }) => [...state, data], initial: [] });
        return <p>{status} {data.join()} {renders}</p>;
      };
      window.renderAgain = () => again();
      show(<Sum />);
    `);
    await world.shows('subscribed 1');
    await world.publish('numbers', 5, 6);
    await world.shows('subscribed 5,6 1');
    await world.tab.page.evaluate('renderAgain()');
    await world.shows('subscribed 5,6 2');
    expect(world.tab.sent('subscribe')).toBe(1);
  });

  it('an error boundary gets the error of invalid arguments', async () => {
    const cases = [
      ['<List topic="no topic" />', /^caught .*topic.*\.$/],
      ['<List last={0} />', 'caught last must be an integer of at least 1, not 0.'],
      ['<List list={0} />', 'caught useTopic(): list must be an integer of at least 1, not 0.'],
      ['<List reduce={() => 1} />', 'caught useTopic(): use list or reduce, not both.'],
      [
        '<List max={5} />',
        'caught useTopic(): there is no option "max". Use one of since, last, list, reduce, initial.',
      ],
      ['<List initial={5} />', 'caught useTopic(): initial has an effect only with reduce.'],
      ['<List list={undefined} reduce={1} />', 'caught useTopic(): reduce must be a function, not number.'],
    ] as const;
    const elements = cases.map(([element]) => `<Boundary>${element}</Boundary>`).join('');
    await using world = await start(`${list} show(<>${elements}</>);`);
    const expected = cases.map(([, message]) =>
      typeof message === 'string' ? message : expect.stringMatching(message),
    );
    await eventually(() => world.tab.page.locator('p').allTextContents(), expected);
    expect(await world.subscriptions()).toBe(0);
  });

  it('invalid options are refused also if another component uses the topic', async () => {
    await using world = await start(`${list}
      const options = [{ last: NaN }, { last: null }, { last: '5' }, { since: 5 }, { since: {} }];
      show(<><List /><List last={5} /><List since={null} />
        {options.map((invalid, index) => <Boundary key={index}><List {...invalid} /></Boundary>)}</>);
    `);
    const since = 'caught since must be the position of a publication: { epoch, offset }.';
    await eventually(
      async () => (await world.tab.page.locator('p').allTextContents()).map((text) => text.trim()),
      [
        ...['subscribed', 'subscribed', 'subscribed'],
        ...['NaN', 'null', '5'].map((last) => `caught last must be an integer of at least 1, not ${last}.`),
        ...[since, since],
      ],
    );
  });

  it('an error boundary gets the error of reduce, and the component can be mounted again', async () => {
    await using world = await start(`
      const reduce = (state, { data }) => {
        if (data === 'bad') throw new Error('bad data');
        return state + data;
      };
      const Text = () => <p>{useTopic('text', { reduce, initial: '' }).status} {useTopic('text', { reduce, initial: '' }).data}</p>;
      window.mount = (key) => show(<Boundary key={key}><Text /></Boundary>);
      mount(1);
    `);
    await world.shows('subscribed');
    await world.publish('text', 'a', 'bad', 'b');
    await world.shows('caught bad data');
    await world.tab.page.evaluate('mount(2)');
    await world.shows('subscribed');
    await world.publish('text', 'c');
    await world.shows('subscribed c');
  });

  it('a hook without a provider, and a provider without a client, throw', async () => {
    await using world = await start(`${list}
      createRoot(document.getElementById('root')).render(<>
        <Boundary><List /></Boundary><Boundary><FanfareProvider><List /></FanfareProvider></Boundary></>);
    `);
    await eventually(
      () => world.tab.page.locator('p').allTextContents(),
      [
        'caught There is no client: put the component below a <FanfareProvider>.',
        'caught <FanfareProvider> needs the property client: a client, or a function that creates one.',
      ],
    );
  });

  it('an error that does not end the subscription stays in the result', async () => {
    await using world = await start(`${list} show(<List topic="fast" last={1} />);`, {
      FANFARE_TOPICS: '{"fast":{"level":"fast"}}',
    });
    await world.shows('subscribed noHistory');
    await world.publish('fast', 1);
    await world.shows('subscribed 1 noHistory');
  });
});

describe.skipIf(!hasBrowser)('in a test of an app', () => {
  it('flush() renders what has arrived, without warnings, and nothing else does', async () => {
    await using world = await start(`
      window.IS_REACT_ACT_ENVIRONMENT = true;
      window.client = newClient();
      window.client.subscribe('numbers', ({ data }) => { window.arrived = data; });
      const Last = () => <p>{useConnection().name} {useTopic('numbers').data}</p>;
      window.flush = flush;
      window.mount = () => act(async () => show(<Last />, client));
    `);
    await world.tab.page.evaluate('mount()');
    await expect
      .poll(async () => {
        await world.tab.page.evaluate('flush()');
        return world.tab.text();
      })
      .toBe('connected');
    await world.publish('numbers', 1);
    await eventually(() => world.tab.page.evaluate('window.arrived'), 1);
    // Outside of tests, a batch waits for one frame.
    const frames = '(async () => { for (let n = 0; n < 10; n++) await new Promise(requestAnimationFrame); })()';
    await world.tab.page.evaluate(frames);
    await world.shows('connected');
    await world.tab.page.evaluate('flush()');
    await world.shows('connected 1');
    // Testing Library ends the test environment while findBy… waits.
    await world.publish('numbers', 2);
    await world.tab.page.evaluate('window.IS_REACT_ACT_ENVIRONMENT = false');
    await world.shows('connected 2');
    expect(world.tab.problems).toEqual([]);
  });
});
