/**
 * Decides when a command is carried out: after authentication, within the limits of the subject, and if the
 * authorization hook allows it. Until then, the command and all later ones wait in a queue, so that their order is
 * kept. Used only if the node requires authentication.
 */
import { type CloseReason, type Command, closeReasons, ReplyError, type Topic } from '@fanfare/protocol';
import { eventOf } from '../auth/hook.js';
import type { Identity } from '../auth/identity.js';
import type { Action } from '../auth/permissions.js';
import { actionOf, isGuarded } from '../handlers/permit.js';
import type { Admission, ExceededLimit, Subject } from '../limits/subjects.js';
import { refusalOf } from './authentication.js';
import type { SessionContext } from './session-context.js';

/** Bytes of frames that a client may send before it is authenticated. */
export const maxUnauthenticatedBytes = 16_384;

/**
 * Commands, and bytes of their publications, that may wait in the queue. More than the typed client has unanswered (800
 * commands, 1 MiB of publications), so that a slow hook does not make the node close it.
 */
export const maxQueuedCommands = 1_000;
const maxQueuedBytes = 2_097_152;

/**
 * Errors that a client may get before its token is accepted. The last one closes the connection: no limit of a subject
 * applies yet.
 */
export const maxUnauthenticatedErrors = 10;

/** The connection, as this file needs it. */
export interface CommandGateHost {
  carryOut(command: Command): void;
  refuse(command: Command | null, error: ReplyError): void;
  readonly isClosing: boolean;
  close(reason: CloseReason): void;
  isSubscribed(topic: Topic): boolean;
}

/** Who sends the commands. */
export interface GateSession {
  readonly state: 'new' | 'checking' | 'authenticated' | 'closed';
  readonly identity: Identity | null;
  readonly subject: Subject | null;
  /** The name of the connection; null for a request. */
  readonly id: string | null;
  allows(action: Action, topic: Topic): boolean;
  /** The first command of a sender that is not known yet. */
  beginWith(command: Command): void;
  /** The first command could not be read. */
  failUnreadable(): void;
}

/** `isCharged`: whether the command already counts towards the limits of its subject. */
interface Queued {
  readonly command: Command;
  readonly isCharged: boolean;
}

export class CommandGate {
  /** The queue: a command that is not decided yet, and all later ones. Null if there is no such command. */
  #queue: Queued[] | null = [];
  #queuedBytes = 0;
  /** Bytes of all frames until the client is authenticated. */
  #unauthenticatedBytes = 0;
  #unauthenticatedErrors = 0;

  constructor(
    private readonly context: SessionContext,
    private readonly authentication: GateSession,
    private readonly host: CommandGateHost,
  ) {}

  /**
   * Counts a frame whose commands may have to wait. Returns why the connection has to be closed; null if it need not
   * be.
   */
  countFrame(bytes: number): CloseReason | null {
    if (this.authentication.state === 'authenticated')
      return this.#queuedBytes <= maxQueuedBytes ? null : closeReasons.rateLimited;
    this.#unauthenticatedBytes += bytes;
    return this.#unauthenticatedBytes <= maxUnauthenticatedBytes ? null : closeReasons.frameTooLarge;
  }

  /** Calls `carryOut` or `refuse` for the command, now or later. Copies its payload if it has to wait. */
  pass(command: Command): void {
    switch (this.authentication.state) {
      case 'authenticated': {
        const charge = this.#charge(command);
        if (charge === 'refused') return;
        if (charge === 'charged' && this.#queue === null) return this.#authorize(command);
        const isFirst = this.#queue === null;
        this.#enqueue(command, charge === 'charged');
        if (isFirst) this.#resumeOnceDecided();
        return;
      }
      case 'checking':
        return this.#enqueue(command, false);
      case 'new':
        return this.authentication.beginWith(command);
      case 'closed':
        return;
    }
  }

  /** Counts a command that could not be read. Returns false if it exceeded a limit and was answered. */
  admitUnreadable(): boolean {
    const admission = this.authentication.subject?.admitUnreadable(performance.now()) ?? 'admitted';
    if (admission === 'admitted') return true;
    this.#refuseForLimit(null, admission);
    return false;
  }

  /** A command could not be read, and the client has received the error. */
  onUnreadable(): void {
    if (this.authentication.state === 'new') this.authentication.failUnreadable();
    else this.#countError();
  }

  /** Carries out the commands in the queue, up to the first one that is not decided. */
  resume(): void {
    const queue = this.#queue ?? [];
    this.#queue = null;
    for (const [index, { command, isCharged }] of queue.entries()) {
      if (this.host.isClosing) return;
      const charge = isCharged ? 'charged' : this.#charge(command);
      if (charge === 'undecided') {
        this.#queue = queue.slice(index);
        return this.#resumeOnceDecided();
      }
      this.#queuedBytes -= bytesOf(command);
      if (charge === 'refused') continue;
      this.#authorize(command);
      if (this.#queue !== null) {
        // The hook is being asked: the other commands wait behind this one.
        this.#queue = queue.slice(index + 1);
        return;
      }
    }
  }

  /** The connection is closed. */
  onClosed(): void {
    this.#queue = null;
  }

  /** Queues a command, or refuses it if the queue is full. */
  #enqueue(command: Command, isCharged: boolean): void {
    this.#queue ??= [];
    if (this.#queue.length >= maxQueuedCommands) return this.#refuseForLimit(command, null);
    this.#queue.push({ command: keep(command), isCharged });
    this.#queuedBytes += bytesOf(command);
  }

  #resumeOnceDecided(): void {
    this.authentication.subject?.onceDecided(() => {
      if (this.authentication.state === 'authenticated') this.resume();
    });
  }

  /** Carries out a command, or asks the hook about it first. The queue then holds the commands behind it. */
  #authorize(command: Command): void {
    const { hook } = this.context;
    const { identity, id } = this.authentication;
    if (hook === null || identity === null || !isGuarded(command)) return this.host.carryOut(command);
    const { topic } = command;
    const action = actionOf(command);
    const event = eventOf[action];
    // The handlers refuse what the token does not permit.
    if (!hook.asksAbout(event) || !this.authentication.allows(action, topic)) return this.host.carryOut(command);
    // The hook allowed the subscription, which shows everything that can be read of the topic.
    if (event === 'subscribe' && this.host.isSubscribed(topic)) return this.host.carryOut(command);
    this.#queue = [];
    const { issuer, subject } = identity;
    const kept = keep(command);
    void hook.decide({ event, issuer, subject, connection: id, topic }).then((decision) => {
      if (this.authentication.state !== 'authenticated') return;
      if (decision.isAllowed) this.host.carryOut(kept);
      else this.host.refuse(kept, refusalOf(decision));
      this.resume();
    });
  }

  /**
   * Counts a command towards the limits of its subject. A refused one is answered. `undecided`: nothing was counted.
   */
  #charge(command: Command): 'charged' | 'undecided' | 'refused' {
    const { subject } = this.authentication;
    if (subject === null) return 'charged';
    const admission = this.#admissionOf(command, subject);
    if (admission === 'admitted') return 'charged';
    if (admission === 'undecided') return admission;
    this.#refuseForLimit(command, admission);
    return 'refused';
  }

  #admissionOf(command: Command, subject: Subject): Admission {
    const nowMs = performance.now();
    if (command.type !== 'publish') return subject.admitCommand(nowMs);
    const { relay } = this.context;
    const { topic } = command;
    const isKept = relay.hasHistory(topic);
    if (isKept && !subject.mayBeginTopic(nowMs) && !relay.hasPublished(topic)) return subject.refuseTopic(nowMs);
    return subject.admitPublication(bytesOf(command), isKept, nowMs);
  }

  /** `exceeded`: null if the queue is full. */
  #refuseForLimit(command: Command | null, exceeded: ExceededLimit | null): void {
    this.context.counters.commandsLimited++;
    const message =
      exceeded === null
        ? 'Too many commands are pending on this connection. Wait for replies, then retry.'
        : `${sentences[exceeded.limit]} Retry in ${exceeded.retryAfterMs} ms.`;
    this.host.refuse(command, new ReplyError('rateLimited', message, exceeded?.retryAfterMs ?? null));
    this.#countError();
    // Services have no subject: only their queue is limited.
    if (this.authentication.subject?.mayBeRefused(performance.now()) === false)
      this.host.close(closeReasons.rateLimited);
  }

  #countError(): void {
    const isUnauthenticated = this.authentication.state === 'checking';
    if (isUnauthenticated && ++this.#unauthenticatedErrors === maxUnauthenticatedErrors)
      this.host.close(closeReasons.badProtocol);
  }
}

const sentences: Readonly<Record<ExceededLimit['limit'], string>> = {
  rate: 'Rate limit exceeded.',
  historyBytes: 'The hourly byte limit for topics with history is exceeded.',
  newTopics: 'Hourly limit of new topics exceeded, and this node has no recent publication to this topic.',
};

/** Bytes of its payload. */
function bytesOf(command: Command): number {
  return command.type === 'publish' ? command.end - command.start : 0;
}

/**
 * The command with a copy of its payload, because its frame is not valid for long. A payload that fills its bytes is
 * such a copy.
 */
function keep<Kept extends Command>(command: Kept): Kept {
  if (command.type !== 'publish') return command;
  const { bytes, start, end } = command;
  if (start === 0 && end === bytes.length) return command;
  return { ...command, bytes: bytes.slice(start, end), start: 0, end: end - start };
}
