/** The certificate that clients are shown: judged before it is used. */
import { readCertificates, readPrivateKey, subjectOf } from '../files/pem-file.js';

export interface CertificateFiles {
  /** PEM: the node's own certificate first, then those that vouch for it. */
  readonly certFile: string;
  /** PEM, without a passphrase. */
  readonly keyFile: string;
}

export interface Certificate {
  /** Host names and addresses that it is good for, as OpenSSL writes them. */
  readonly names: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** What is wrong with the files: one sentence for each mistake. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
  constructor(readonly sentences: readonly string[]) {
    super(sentences.join(' '));
  }
}

const certSetting = 'FANFARE_TLS_CERT_FILE';
const keySetting = 'FANFARE_TLS_KEY_FILE';

/** The two settings as one. Throws {@link CertificateError} where only one of them is set. */
export function certificateFiles(certFile: string | null, keyFile: string | null): CertificateFiles | null {
  if (certFile !== null && keyFile !== null) return { certFile, keyFile };
  if (certFile === null && keyFile === null) return null;
  const [is, isNot] = certFile === null ? [keySetting, certSetting] : [certSetting, keySetting];
  throw new CertificateError([`${is} is set and ${isNot} is not: TLS needs both.`]);
}

/** Throws {@link CertificateError} where clients could not be served with it. One that has expired is no error: see {@link explainValidity}. */
export function readCertificate({ certFile, keyFile }: CertificateFiles): Certificate {
  const sentences: string[] = [];
  const tell = (wrong: string): void => void sentences.push(wrong);
  const certificate = readCertificates(certSetting, certFile, tell)?.value[0] ?? null;
  const key = readPrivateKey(keySetting, keyFile, tell)?.value ?? null;
  if (certificate !== null && key !== null && !certificate.checkPrivateKey(key)) {
    tell(
      `The key in ${keySetting} does not belong to the first certificate in ${certSetting}, which is that of ${subjectOf(certificate)}: give its own key, or put the node's own certificate first.`,
    );
  }
  if (certificate === null || sentences.length > 0) throw new CertificateError(sentences);
  return {
    names: certificate.subjectAltName ?? subjectOf(certificate),
    notBeforeMs: Date.parse(certificate.validFrom),
    notAfterMs: Date.parse(certificate.validTo),
  };
}

const dayMs = 86_400_000;
/** Who renews at a third of the lifetime, as ACME clients do, is warned of nothing that is in order. */
const warnBeforeMs = 14 * dayMs;

/** What a person should know about the time for which it is good, in a sentence; null where nothing. */
export function explainValidity({ names, notBeforeMs, notAfterMs }: Certificate, nowMs: number): string | null {
  const of = `The certificate in ${certSetting} (${names})`;
  if (nowMs >= notAfterMs) return `${of} expired at ${timeOf(notAfterMs)}. Clients reject it. Renew it.`;
  if (nowMs < notBeforeMs) return `${of} is not valid before ${timeOf(notBeforeMs)}. Clients reject it.`;
  if (nowMs < notAfterMs - warnBeforeMs) return null;
  return `${of} expires at ${timeOf(notAfterMs)}. Renew it: the node reloads the file without a restart.`;
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
