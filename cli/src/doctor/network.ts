/** The way to the broker: its name, its port, and its certificate. */
import { lookup } from 'node:dns/promises';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls';
import { distanceText } from '../token-report.js';
import type { Report } from './finding.js';

/** A certificate that expires sooner gets a warning, in days. Automatic renewal begins 30 days before, or later. */
const soonDays = 14;
const dayMs = 86_400_000;

interface Place {
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
}

/** Returns false if nothing else can be checked. */
export async function checkNetwork(place: Place, timeoutMs: number, report: Report): Promise<boolean> {
  if (!(await checkName(place, report))) return false;
  if (!(await checkPort(place, timeoutMs, report))) return false;
  if (place.isTls) return checkCertificate(place, timeoutMs, report);
  if (isOnThisMachine(place.host)) return true;
  report({
    verdict: 'warning',
    check: 'tls',
    sentence: 'The connection is not encrypted: everybody on the way can read tokens and data.',
    advice: 'Use wss:// and a certificate (docs/tls.md), unless this network is private.',
  });
  return true;
}

async function checkName({ host }: Place, report: Report): Promise<boolean> {
  if (isIP(host) !== 0) return true;
  try {
    const startedAt = performance.now();
    const addresses = await lookup(host, { all: true });
    const shown = addresses.map(({ address }) => address).join(', ');
    report({ verdict: 'ok', check: 'dns', sentence: `${host} is ${shown} (${since(startedAt)}).` });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isUnknown = code === 'ENOTFOUND';
    report({
      verdict: 'problem',
      check: 'dns',
      sentence: isUnknown ? `There is no host ${host}.` : `The name ${host} could not be looked up (${code}).`,
      cause: isUnknown
        ? 'The name is misspelled, or its DNS record does not exist yet.'
        : 'The DNS server of this machine does not answer.',
      advice: isUnknown
        ? 'Correct the URL, or create the record.'
        : 'Check the network and /etc/resolv.conf, then retry.',
    });
    return false;
  }
}

const portCauses: Readonly<Record<string, readonly [cause: string, advice: string]>> = {
  ECONNREFUSED: [
    'The node or the proxy has stopped, is shutting down, or listens on another address only.',
    'Start it, or correct the port. Without FANFARE_HOST, a node without tokens listens on 127.0.0.1 only.',
  ],
  EHOSTUNREACH: ['There is no way to this host from here.', 'Check the network, a VPN, and the address.'],
  ENETUNREACH: ['There is no way to this network from here.', 'Check the network, a VPN, and the address.'],
  ECONNRESET: ['A firewall or proxy ends the connection.', 'Check the firewall and the port.'],
  ETIMEDOUT: [
    'A firewall drops the packets, or the host is off.',
    'Check the firewall, security groups, and the port.',
  ],
};

async function checkPort({ host, port }: Place, timeoutMs: number, report: Report): Promise<boolean> {
  const startedAt = performance.now();
  const socket = connectTcp({ host, port });
  const error = await opened(socket, 'connect', timeoutMs);
  socket.destroy();
  if (error === null) {
    report({ verdict: 'ok', check: 'tcp', sentence: `Port ${port} accepts connections (${since(startedAt)}).` });
    return true;
  }
  const [cause, advice] = portCauses[codeOf(error)] ?? [error.message, 'Check the address and the network.'];
  report({
    verdict: 'problem',
    check: 'tcp',
    sentence: `No connection to ${host}, port ${port} (${codeOf(error)}).`,
    cause,
    advice,
  });
  return false;
}

async function checkCertificate({ host, port }: Place, timeoutMs: number, report: Report): Promise<boolean> {
  const startedAt = performance.now();
  // Errors of the certificate are reported below, and later checks go on without it.
  const servername = isIP(host) === 0 ? { servername: host } : {};
  const socket = connectTls({ host, port, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'], ...servername });
  const error = await opened(socket, 'secureConnect', timeoutMs);
  if (error !== null) {
    socket.destroy();
    const isPlain = /SSL|EPROTO|ECONNRESET/.test(codeOf(error));
    report({
      verdict: 'problem',
      check: 'tls',
      sentence: `The server does not complete a TLS handshake (${codeOf(error)}).`,
      ...(isPlain
        ? {
            cause: 'The server does not speak TLS on this port.',
            advice: 'Use ws://, or the port of the proxy that has the certificate.',
          }
        : { cause: 'The server accepts the connection and does not answer.', advice: 'Check the proxy and its log.' }),
    });
    return false;
  }
  const certificate = socket.getPeerCertificate();
  const protocol = socket.getProtocol();
  const took = since(startedAt);
  reportCertificate(certificate, host, authorizationOf(socket), report);
  report({ verdict: 'ok', check: 'tls', sentence: `${protocol} works (${took}).` });
  socket.destroy();
  return true;
}

/** Why the certificate is not trusted; null if it is. */
function authorizationOf(socket: TLSSocket): string | null {
  if (socket.authorized) return null;
  const error = socket.authorizationError as unknown;
  return typeof error === 'string' ? error : ((error as NodeJS.ErrnoException | null)?.code ?? String(error));
}

const certificateCauses: Readonly<Record<string, readonly [sentence: string, cause: string, advice: string]>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: [
    'The certificate is self-signed, so clients do not trust it.',
    'It is a certificate for tests.',
    'Use a certificate of an authority. For a test, name the certificate in NODE_EXTRA_CA_CERTS.',
  ],
  SELF_SIGNED_CERT_IN_CHAIN: [
    'The certificate is from an authority that this machine does not trust.',
    'It is a private authority, or a proxy of the company that reads TLS.',
    'Name the certificate of the authority in NODE_EXTRA_CA_CERTS.',
  ],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: [
    'The server does not send the intermediate certificate, so some clients do not trust it.',
    'The certificate file of the server has only the first certificate.',
    'Put the whole chain into the file: with certbot, fullchain.pem.',
  ],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: [
    'The certificate is from an authority that this machine does not trust.',
    'It is a private authority, or the chain is incomplete.',
    'Send the whole chain, or name the certificate of the authority in NODE_EXTRA_CA_CERTS.',
  ],
  CERT_NOT_YET_VALID: [
    'The certificate is not valid yet.',
    'The clock of this machine is wrong, or the certificate is for later.',
    'Check the clock of this machine.',
  ],
};

function reportCertificate(certificate: PeerCertificate, host: string, untrusted: string | null, report: Report): void {
  const check = 'certificate';
  const until = new Date(certificate.valid_to);
  const leftMs = until.getTime() - Date.now();
  const day = until.toISOString().slice(0, 10);
  if (leftMs <= 0) {
    return report({
      verdict: 'problem',
      check,
      sentence: `The certificate expired ${distanceText(-leftMs / 1_000)} ago (${day}).`,
      cause: 'Its renewal failed, or the server was not reloaded after it.',
      advice: 'Renew it, and reload the server. A node reads new files by itself (docs/tls.md).',
    });
  }
  if (untrusted === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return report({
      verdict: 'problem',
      check,
      sentence: `The certificate is not for ${host}, but for ${certificate.subjectaltname ?? certificate.subject?.CN}.`,
      cause: 'The proxy has no certificate for this name and sends another one.',
      advice: `Add a certificate for ${host}, or use one of its names in the URL.`,
    });
  }
  if (untrusted !== null) {
    const [sentence, cause, advice] = certificateCauses[untrusted] ?? [
      `Clients do not trust the certificate (${untrusted}).`,
      'See the code.',
      'Use a certificate of an authority that clients trust.',
    ];
    return report({ verdict: 'problem', check, sentence, cause, advice });
  }
  const sentence = `The certificate is valid until ${day} (${distanceText(leftMs / 1_000)}).`;
  if (leftMs > soonDays * dayMs) return report({ verdict: 'ok', check, sentence });
  report({
    verdict: 'warning',
    check,
    sentence,
    cause: 'Automatic renewal usually happens 30 days before the end: it may have failed.',
    advice: 'Check the log of the renewal.',
  });
}

/** Resolves with null at the event, or with the error. */
function opened(socket: Socket, event: 'connect' | 'secureConnect', timeoutMs: number): Promise<Error | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      resolve(Object.assign(new Error(`no answer within ${timeoutMs / 1_000} s`), { code: 'ETIMEDOUT' }));
    }, timeoutMs);
    const settle = (error: Error | null): void => {
      clearTimeout(timer);
      resolve(error);
    };
    socket.once(event, () => settle(null));
    socket.on('error', settle);
    socket.once('close', () =>
      settle(Object.assign(new Error('the server closed the connection'), { code: 'ECONNRESET' })),
    );
  });
}

function codeOf(error: Error): string {
  const { code, errors } = error as NodeJS.ErrnoException & { readonly errors?: readonly NodeJS.ErrnoException[] };
  return code ?? errors?.[0]?.code ?? error.message;
}

function isOnThisMachine(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

export function since(startedAt: number): string {
  return durationText(performance.now() - startedAt);
}

export function durationText(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}
