/** Reads certificates and private keys from the PEM files that settings name. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readTextFile } from './text-file.js';

/** Receives one sentence for each mistake. */
export type Report = (mistake: string) => void;

interface PemFile<Value> {
  /** The whole text. */
  readonly pem: string;
  readonly value: Value;
}

/** The certificates in the file, in order: at least one. If it cannot be used, reports that and returns null. */
export function readCertificates(setting: string, file: string, report: Report) {
  return read(setting, file, report, 'no certificate', (pem): readonly [X509Certificate, ...X509Certificate[]] => {
    const [first = pem, ...others] = pem.match(/-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs) ?? [];
    return [new X509Certificate(first), ...others.map((text) => new X509Certificate(text))];
  });
}

/** The private key in the file. If it cannot be used, reports that and returns null. */
export function readPrivateKey(setting: string, file: string, report: Report): PemFile<KeyObject> | null {
  return read(setting, file, report, 'no private key', (pem) => {
    if (pem.includes('ENCRYPTED')) throw new Error('it is encrypted with a passphrase; store it without one');
    return createPrivateKey(pem);
  });
}

/** The subject of a certificate on one line. */
export function subjectOf({ subject }: X509Certificate): string {
  return subject.replaceAll('\n', ', ');
}

function read<Value>(
  setting: string,
  file: string,
  report: Report,
  missing: string,
  parse: (pem: string) => Value,
): PemFile<Value> | null {
  let pem: string;
  try {
    pem = readTextFile(file);
  } catch (error) {
    report(`${setting} names a file that cannot be read: ${(error as Error).message}.`);
    return null;
  }
  try {
    if (!pem.includes('-----BEGIN ')) throw new Error('it is not PEM');
    return { pem, value: parse(pem) };
  } catch (error) {
    report(`${setting} names a file that contains ${missing}: ${(error as Error).message}.`);
    return null;
  }
}
