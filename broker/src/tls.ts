/** The certificate of a node, checked at start: a mistake there is else found by its clients. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';

export interface Tls {
  /** PEM: the certificate, behind it those that lead to the root. */
  readonly certFile: string;
  /** PEM, not encrypted. */
  readonly keyFile: string;
  /** Until when the certificate is good. */
  readonly validTo: Date;
}

/** Hears one sentence for each mistake. */
type Tell = (sentence: string) => void;

/** Reads what FANFARE_TLS_CERT_FILE and FANFARE_TLS_KEY_FILE name; null without them, and where something is wrong. */
export function readTls(certFile: string | null, keyFile: string | null, tell: Tell): Tls | null {
  if (certFile === null && keyFile === null) return null;
  if (certFile === null || keyFile === null) {
    tell('FANFARE_TLS_CERT_FILE and FANFARE_TLS_KEY_FILE belong together: set both, or neither.');
    return null;
  }
  const certificate = read('FANFARE_TLS_CERT_FILE', certFile, 'a certificate in PEM', readCertificate, tell);
  const key = read('FANFARE_TLS_KEY_FILE', keyFile, 'a private key in PEM without a password', readKey, tell);
  if (certificate === null || key === null) return null;
  if (!certificate.checkPrivateKey(key)) {
    tell('The key in FANFARE_TLS_KEY_FILE is not that of the first certificate in FANFARE_TLS_CERT_FILE.');
    return null;
  }
  return { certFile, keyFile, validTo: new Date(certificate.validTo) };
}

function read<Value>(
  name: string,
  file: string,
  what: string,
  parse: (pem: Buffer) => Value,
  tell: Tell,
): Value | null {
  let pem: Buffer;
  try {
    pem = readFileSync(file);
  } catch (error) {
    tell(
      `${name} names the file ${JSON.stringify(file)}, which cannot be read: ${(error as NodeJS.ErrnoException).code}.`,
    );
    return null;
  }
  try {
    return parse(pem);
  } catch {
    tell(`${name} names the file ${JSON.stringify(file)}, which does not hold ${what}.`);
    return null;
  }
}

function readCertificate(pem: Buffer): X509Certificate {
  return new X509Certificate(pem);
}

function readKey(pem: Buffer): KeyObject {
  return createPrivateKey(pem);
}
