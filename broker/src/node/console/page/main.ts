/** The script of the console: reads and draws the state of the node once a second, and is a client that speaks JSON. */

/** The content of `node.json`. */
interface About {
  readonly node: string;
  readonly version: string;
  readonly clientPort: number;
  readonly isTls: boolean;
  readonly hasRedis: boolean;
  readonly asksForTokens: boolean;
}

/** The value of each metric, for all workers together. */
type Metrics = ReadonlyMap<string, number>;

interface Shown {
  readonly value: string;
  readonly note: string;
  readonly isBad: boolean;
  /** For the line chart; null if there is no value. */
  readonly point: number | null;
}

interface Figure {
  readonly name: string;
  read(now: Metrics, before: Metrics, minuteAgo: Metrics, about: About): Shown;
}

const intervalMs = 1_000;
/** Readings of one minute. */
const keptReadings = 60;
/** From this lag of the event loop on, clients notice the delay. */
const lateMs = 100;
const slowProbeMs = 100;
const maxLines = 200;

const count = new Intl.NumberFormat('en');
const rounded = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

const fanfare = (metrics: Metrics, name: string): number => metrics.get(`fanfare_${name}`) ?? 0;

function gauge(name: string, metric: string, note: (value: number, now: Metrics) => string = () => ''): Figure {
  return {
    name,
    read(now) {
      const value = fanfare(now, metric);
      return { value: count.format(value), note: note(value, now), isBad: false, point: value };
    },
  };
}

/** `bad`: metrics that should not rise, and their words. */
function rate(name: string, metric: string, bad: Readonly<Record<string, string>> = {}): Figure {
  return {
    name,
    read(now, before, minuteAgo) {
      const seconds = Math.max(0.2, (fanfare(now, 'read_at') - fanfare(before, 'read_at')) / 1_000);
      const value = Math.max(0, fanfare(now, metric) - fanfare(before, metric)) / seconds;
      const notes = Object.entries(bad).flatMap(([failed, words]) => {
        const more = fanfare(now, failed) - fanfare(minuteAgo, failed);
        return more > 0 ? [`${count.format(more)} ${words} in the last minute`] : [];
      });
      return { value: `${rounded.format(value)}/s`, note: notes.join(', '), isBad: notes.length > 0, point: value };
    },
  };
}

/** The count of an event that should not happen. */
function failures(name: string, metric: string, meaning: string): Figure {
  return {
    name,
    read(now, before, minuteAgo) {
      const total = fanfare(now, metric);
      const more = total - fanfare(minuteAgo, metric);
      const note = more > 0 ? `${count.format(more)} in the last minute: ${meaning}` : 'none in the last minute';
      const point = total - fanfare(before, metric);
      return { value: count.format(total), note, isBad: more > 0, point };
    },
  };
}

const probe: Figure = {
  name: 'Redis round trip',
  read(now, before, minuteAgo, { hasRedis }) {
    if (!hasRedis) return { value: '–', note: 'no Redis: standalone node', isBad: false, point: null };
    if (fanfare(now, 'relay_connected') === 0)
      return { value: 'broken', note: 'Redis delivers nothing', isBad: true, point: null };
    const probes = fanfare(now, 'probe_seconds_count') - fanfare(before, 'probe_seconds_count');
    const seconds = fanfare(now, 'probe_seconds_sum') - fanfare(before, 'probe_seconds_sum');
    const missed = fanfare(now, 'probes_missed_total') - fanfare(minuteAgo, 'probes_missed_total');
    const ms = probes > 0 ? (seconds / probes) * 1_000 : null;
    const note = missed > 0 ? `${missed} probes lost in the last minute` : 'one probe per second';
    const isBad = missed > 0 || (ms ?? 0) > slowProbeMs;
    return { value: ms === null ? '…' : `${rounded.format(ms)} ms`, note, isBad, point: ms };
  },
};

const lag: Figure = {
  name: 'Event loop lag',
  read(now) {
    const ms = (now.get('nodejs_eventloop_lag_seconds') ?? 0) * 1_000;
    const isBad = ms > lateMs;
    return { value: `${rounded.format(ms)} ms`, note: isBad ? 'too busy: clients wait' : '', isBad, point: ms };
  },
};

const memory: Figure = {
  name: 'Memory',
  read(now) {
    const megabytes = (now.get('process_resident_memory_bytes') ?? 0) / 1e6;
    const buffered = fanfare(now, 'buffered_bytes') / 1e6;
    const note = buffered > 1 ? `${rounded.format(buffered)} MB not yet read by clients` : '';
    return { value: `${count.format(Math.round(megabytes))} MB`, note, isBad: false, point: megabytes };
  },
};

const nodes: Figure = {
  name: 'Nodes known',
  read(now, _before, minuteAgo, { hasRedis }) {
    const value = fanfare(now, 'nodes');
    const gone = fanfare(minuteAgo, 'nodes') - value;
    const lost = gone > 0 ? `${gone} fewer than a minute ago` : '';
    const note = hasRedis ? lost || 'including this one' : 'standalone, in memory';
    return { value: count.format(value), note, isBad: gone > 0, point: value };
  },
};

const figures: readonly Figure[] = [
  gauge('Connections', 'connections', (_value, now) => {
    const waiting = fanfare(now, 'connections_unauthenticated');
    return waiting > 0 ? `${count.format(waiting)} not authenticated yet` : '';
  }),
  gauge('Subscriptions', 'subscriptions'),
  gauge('Topics', 'topics'),
  nodes,
  rate('Publications', 'publications_in_total', {
    publications_unrelayed_total: 'did not reach Redis',
    publications_overloaded_total: 'refused (overloaded)',
  }),
  rate('Deliveries', 'deliveries_total', { frames_dropped_total: 'frames dropped' }),
  probe,
  lag,
  failures('Gaps', 'gaps_told_total', 'publications may be lost'),
  failures('Resets', 'resets_told_total', 'a history restarted'),
  failures('Slow subscribers closed', 'slow_subscribers_total', 'they read too slowly'),
  memory,
];

/** The samples of several workers are added, except for these: of them the lowest or highest counts. */
const least = new Set(['fanfare_relay_connected']);
const greatest = new Set(['fanfare_nodes', 'nodejs_eventloop_lag_seconds']);

function parse(text: string): Map<string, number> {
  const metrics = new Map<string, number>([['fanfare_read_at', performance.now()]]);
  for (const [, name = '', labels = '', value] of text.matchAll(/^(\w+)(\{[^}]*\})? (\S+)$/gm)) {
    if (/\b(?!worker=)\w+="/.test(labels)) continue;
    const known = metrics.get(name);
    const here = Number(value);
    if (known === undefined) metrics.set(name, here);
    else if (least.has(name)) metrics.set(name, Math.min(known, here));
    else if (greatest.has(name)) metrics.set(name, Math.max(known, here));
    else metrics.set(name, known + here);
  }
  return metrics;
}

function element<Kind extends HTMLElement>(id: string): Kind {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`#${id} is not in the page.`);
  return found as Kind;
}

class Card {
  readonly #root = document.createElement('div');
  readonly #value = document.createElement('dd');
  readonly #note = document.createElement('dd');
  readonly #line: SVGPolylineElement;
  readonly #points: number[] = [];

  constructor(name: string) {
    const svg = 'http://www.w3.org/2000/svg';
    const term = document.createElement('dt');
    term.textContent = name;
    this.#root.className = 'figure';
    this.#value.className = 'value';
    this.#note.className = 'note';
    const drawing = document.createElementNS(svg, 'svg');
    drawing.setAttribute('viewBox', `0 0 ${keptReadings} 20`);
    drawing.setAttribute('preserveAspectRatio', 'none');
    drawing.setAttribute('aria-hidden', 'true');
    this.#line = document.createElementNS(svg, 'polyline');
    for (const [attribute, value] of [
      ['fill', 'none'],
      ['stroke', 'currentColor'],
      ['stroke-width', '1.5'],
      ['vector-effect', 'non-scaling-stroke'],
    ] as const) {
      this.#line.setAttribute(attribute, value);
    }
    drawing.append(this.#line);
    const drawn = document.createElement('dd');
    drawn.append(drawing);
    this.#root.append(term, this.#value, drawn, this.#note);
    element('figures').append(this.#root);
  }

  show({ value, note, isBad, point }: Shown): void {
    this.#value.textContent = value;
    this.#note.textContent = note;
    this.#root.classList.toggle('bad', isBad);
    if (point === null) return;
    this.#points.push(point);
    if (this.#points.length > keptReadings) this.#points.shift();
    const most = Math.max(...this.#points, 1e-9);
    const from = keptReadings - this.#points.length;
    const at = this.#points.map((each, index) => `${from + index},${(19 - (each / most) * 18).toFixed(1)}`);
    this.#line.setAttribute('points', at.join(' '));
  }
}

const state = element('state');

function showState(sentence: string, isBad: boolean): void {
  // Setting the same text again would make screen readers repeat it.
  if (state.textContent !== sentence) state.textContent = sentence;
  state.classList.toggle('bad', isBad);
  document.title = isBad ? `⚠ Fanfare` : 'Fanfare';
}

async function watch(): Promise<void> {
  const cards = figures.map(({ name }) => new Card(name));
  const readings: Metrics[] = [];
  let about: About | null = null;
  let noAnswerSince: number | null = null;
  for (;;) {
    try {
      const signal = AbortSignal.timeout(intervalMs * 3);
      const [ready, metrics] = await Promise.all([fetch('readyz', { signal }), fetch('metrics', { signal })]);
      // After a pause, another node may answer.
      if (about === null || noAnswerSince !== null) {
        about = await readAbout(signal);
        readings.length = 0;
      }
      const { reason } = (await ready.json()) as { reason: string };
      const now = parse(await metrics.text());
      noAnswerSince = null;
      showState(`${ready.ok ? 'Ready' : 'Not ready'}: ${reason}${/[.?]$/.test(reason) ? '' : '.'}`, !ready.ok);
      const before = readings.at(-1) ?? now;
      readings.push(now);
      if (readings.length > keptReadings) readings.shift();
      for (const [index, figure] of figures.entries())
        cards[index]?.show(figure.read(now, before, readings[0] ?? now, about));
    } catch {
      noAnswerSince ??= performance.now();
      const seconds = Math.round((performance.now() - noAnswerSince) / 1_000);
      showState(`The node has not responded for ${seconds} s. The figures below are outdated.`, true);
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}

async function readAbout(signal: AbortSignal): Promise<About> {
  const about = (await (await fetch('node.json', { signal })).json()) as About;
  element('about').textContent = `${about.node}, version ${about.version}`;
  element('with-token').hidden = !about.asksForTokens;
  const url = element<HTMLInputElement>('url');
  if (url.value === '') url.value = `${about.isTls ? 'wss' : 'ws'}://${location.hostname}:${about.clientPort}/ws`;
  return about;
}

// The client.

const seen = element('seen');
const lines: string[] = [];
let socket: WebSocket | null = null;
let lastId = 0;

function print(line: string): void {
  const time = new Date().toTimeString().slice(0, 8);
  lines.push(`${time}  ${line}`);
  if (lines.length > maxLines) lines.shift();
  const isAtEnd = seen.scrollTop + seen.clientHeight >= seen.scrollHeight - 5;
  seen.textContent = `${lines.join('\n')}\n`;
  if (isAtEnd) seen.scrollTop = seen.scrollHeight;
}

function textOf(id: string): string {
  return element<HTMLInputElement>(id).value.trim();
}

function onSubmit(form: string, act: () => void): void {
  element<HTMLFormElement>(form).addEventListener('submit', (event) => {
    event.preventDefault();
    act();
  });
}

function enable(isOpen: boolean): void {
  for (const form of ['subscribe', 'publish']) {
    const button = element(form).querySelector('button');
    if (button !== null) button.disabled = !isOpen;
  }
}

function send(command: Readonly<Record<string, unknown>>): void {
  const text = JSON.stringify({ id: ++lastId, ...command });
  socket?.send(text);
  print(`→ ${'token' in command ? JSON.stringify({ id: lastId, ...command, token: '…' }) : text}`);
}

onSubmit('connect', () => {
  const url = textOf('url');
  socket?.close();
  let mine: WebSocket;
  try {
    mine = new WebSocket(url);
  } catch {
    return print(`${url} is not a WebSocket URL.`);
  }
  socket = mine;
  print(`Connecting to ${url} …`);
  mine.addEventListener('open', () => {
    print('Connected.');
    enable(true);
    const token = textOf('token');
    send({ type: 'connect', ...(token === '' ? {} : { token }) });
  });
  mine.addEventListener('message', ({ data }) => print(`← ${data}`));
  mine.addEventListener('close', ({ code, reason }) => {
    if (socket !== mine) return;
    socket = null;
    enable(false);
    const why = code === 1006 ? 'check the port, and that FANFARE_ORIGINS allows this page.' : reason;
    print(`Closed with ${code}: ${why}`);
  });
});

onSubmit('subscribe', () => send({ type: 'subscribe', topic: textOf('topic') }));

onSubmit('publish', () => {
  let data: unknown;
  try {
    data = JSON.parse(textOf('data'));
  } catch (error) {
    return print(`Invalid JSON: ${(error as Error).message}`);
  }
  send({ type: 'publish', topic: textOf('topic'), data });
});

void watch();
