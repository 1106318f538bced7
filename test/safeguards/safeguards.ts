/**
 * What keeps the guarantees (docs/guarantees.md), each with an edit that takes it out and a test that then fails. `npm run safeguards`
 * makes each edit in a copy of the repository and runs that test; it takes some minutes. The table in the docs comes from here.
 */

export interface Safeguard {
  readonly name: string;
  /** What it is for, as the docs say it. */
  readonly about: string;
  readonly file: string;
  /** Text that stands in the file once, and what takes its place. */
  readonly find: string;
  readonly replace: string;
  readonly testFile: string;
  /** Part of the test's full name. */
  readonly test: string;
}

export const safeguards: readonly Safeguard[] = [
  {
    name: 'dedupe by messageId',
    about: 'a repeated publish is recognised',
    file: 'broker/lua/publish.lua',
    find: 'local known = idCount > 0 and findKnown(ids, from, idCount)',
    replace: 'local known = false',
    testFile: 'broker/test/redis-relay.test.ts',
    test: 'does not publish a messageId again',
  },
  {
    name: 'dedupe by offset, node',
    about: 'a message that comes twice is delivered once',
    file: 'broker/src/relay/line.ts',
    find: 'if (entry.last <= this.#head) {',
    replace: 'if (entry.last < 0) {',
    testFile: 'broker/test/repair.test.ts',
    test: 'delivers what comes twice once',
  },
  {
    name: 'contiguity check, node',
    about: 'a hole is noticed when the next message comes',
    file: 'broker/src/relay/line.ts',
    find: 'if (epoch === this.#epoch && entry.first <= this.#head + 1) return this.#take(entry);',
    replace: 'if (epoch === this.#epoch) return this.#take(entry);',
    testFile: 'broker/test/repair.test.ts',
    test: 'reads what did not come and delivers it in its place',
  },
  {
    name: 'repair, node',
    about: 'what is missing is read from the history',
    file: 'broker/src/relay/line.ts',
    find: 'for (const entry of next) this.#take(entry);',
    replace: 'this.#skipTo(position.offset);',
    testFile: 'broker/test/repair.test.ts',
    test: 'reads what did not come and delivers it in its place',
  },
  {
    name: 'holding back, node',
    about: 'what comes while a hole is read waits its turn',
    file: 'broker/src/relay/line.ts',
    find: 'if (this.#held !== null) return this.#hold({ epoch, entry });',
    replace: 'if (this.#held !== null) return this.#take(entry);',
    testFile: 'broker/test/line.test.ts',
    test: 'delivers everything once and in order',
  },
  {
    name: 'comparing after a reconnect',
    about: 'what came while the node did not listen is found',
    file: 'broker/src/relay/redis-relay.ts',
    find: 'this.#lines.doubtTail(topic);\n    this.#lines.check();',
    replace: '',
    testFile: 'broker/test/repair.test.ts',
    test: 'compares its topics with Redis when its listening connection is back',
  },
  {
    name: 'beacon, hearing',
    about: 'a lost last publication is noticed',
    file: 'broker/src/relay/line.ts',
    find: 'if (this.#held === null) void this.catchUp();',
    replace: '',
    testFile: 'broker/test/repair.test.ts',
    test: 'learns from a beacon that the last publication did not come',
  },
  {
    name: 'beacon, sending',
    about: 'the node that published last says once more where the topic stands',
    file: 'broker/src/relay/redis-relay.ts',
    find: 'if (messages.length === 0) return;\n    this.#counters.beaconsSent += messages.length;',
    replace: 'return;',
    testFile: 'broker/test/repair.test.ts',
    test: 'says once more where the topic stands when it falls silent',
  },
  {
    name: 'probe',
    about: 'connections that look well and lead nowhere are found',
    file: 'broker/src/relay/probe.ts',
    find: 'if (this.#misses < maxMisses) return;',
    replace: 'return;',
    testFile: 'broker/test/probe.test.ts',
    test: 'is found by the probe',
  },
  {
    name: 'epoch, node',
    about: 'offsets of another history are not taken for those of this one',
    file: 'broker/src/relay/line.ts',
    find: 'if (position.epoch !== this.#epoch || position.offset < this.#head || !isProven) return this.#beginAnew(position);',
    replace: 'if (position.epoch !== this.#epoch) this.#stand(position);',
    testFile: 'broker/test/repair.test.ts',
    test: 'tells a reset where the history has another epoch',
  },
  {
    name: 'epoch, recovery',
    about: 'who comes back with a position of another history is told',
    file: 'broker/src/relay/history.ts',
    find: 'const isSame = since.epoch === position.epoch && since.offset <= head;',
    replace: 'const isSame = since.offset <= head;',
    testFile: 'broker/test/memory-relay.test.ts',
    test: 'says where a topic stands, and what came after a position',
  },
  {
    name: 'generation',
    about: 'nothing is published before what Redis lost is given back',
    file: 'broker/lua/publish.lua',
    find: "if redis.call('GET', KEYS[1]) ~= ARGV[1] then",
    replace: 'if false then',
    testFile: 'broker/test/recovery.test.ts',
    test: 'when all data of Redis is deleted',
  },
  {
    name: 'giving back',
    about: 'what Redis lost is restored from the memory of the nodes',
    file: 'broker/lua/restore.lua',
    find: 'if first == head + 1 then',
    replace: 'if false then',
    testFile: 'broker/test/recovery.test.ts',
    test: 'when Redis restarts empty',
  },
  {
    name: 'a floor for epochs',
    about: 'data that nobody can vouch for is not taken for whole',
    file: 'broker/lua/recover.lua',
    find: 'if not hash.isRemembered or (hash.isLossy and published < expected) then',
    replace: 'if false then',
    testFile: 'broker/test/recovery.test.ts',
    test: 'with its data, but no node that could vouch for it',
  },
  {
    name: 'reply before delivery',
    about: 'what stands in the reply and what is pushed after it fit together',
    file: 'broker/src/handlers/subscribe.ts',
    find: 'const { position, recovered, publications } = relay.standing(topic, since);',
    replace:
      'const { position, recovered, publications } = relay.standing(topic, since);\n  await new Promise((resolve) => setTimeout(resolve, 5));',
    testFile: 'broker/test/recovery.test.ts',
    test: 'misses nothing between its reply and the first push',
  },
  {
    name: 'WAIT',
    about: 'a durable publication is acknowledged only when replicas have it',
    file: 'broker/src/relay/history-publisher.ts',
    find: 'const isSafe = this.#wait === null || Number(answers.at(-1)) >= this.#wait.replicas;',
    replace: 'const isSafe = true;',
    testFile: 'broker/test/durable.test.ts',
    test: 'is acknowledged when a replica has it',
  },
  {
    name: 'closing slow subscribers',
    about: 'a connection that lost frames does not go on as if nothing had happened',
    file: 'broker/src/connection/connection.ts',
    find: 'this.#beginClosing(closeReasons.slowSubscriber);',
    replace: '',
    testFile: 'broker/test/slow-subscriber.test.ts',
    test: 'gets the rest from the history when it comes back',
  },
  {
    name: 'invitation to move',
    about: 'clients leave a stopping node before it closes them',
    file: 'broker/src/drain.ts',
    find: 'connection.invite(Math.floor(Math.random() * drainWindowMs * inviteShare));',
    replace: '',
    testFile: 'broker/test/drain.test.ts',
    test: 'invites each client to move at another moment',
  },
  {
    name: 'closing in waves',
    about: 'those that stay do not all come back at once',
    file: 'broker/src/drain.ts',
    find: 'const perWave = Math.ceil(connections.length / waves);',
    replace: 'const perWave = connections.length;',
    testFile: 'broker/test/drain.test.ts',
    test: 'closes those that stay in waves',
  },
];
