/** The TLS certificate of the node, checked before it is used. */
import { readCertificates, readPrivateKey, subjectOf } from '../files/pem-file.js';

export interface CertificateFiles {
  /** PEM: the certificate of the node first, then those of its issuers. */
  readonly certFile: string;
  /** PEM, without a passphrase. */
  readonly keyFile: string;
}

export interface Certificate {
  /** Host names and addresses that it is valid for, as OpenSSL writes them. */
  readonly names: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** The files cannot be used: one sentence for each mistake. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
  constructor(readonly sentences: readonly string[]) {
    super(sentences.join(' '));
  }
}

const certSetting = 'FANFARE_TLS_CERT_FILE';
const keySetting = 'FANFARE_TLS_KEY_FILE';

/** The two settings as one. Throws {@link CertificateError} if only one of them is set. */
export function certificateFiles(certFile: string | null, keyFile: string | null): CertificateFiles | null {
  if (certFile !== null && keyFile !== null) return { certFile, keyFile };
  if (certFile === null && keyFile === null) return null;
  const [is, isNot] = certFile === null ? [keySetting, certSetting] : [certSetting, keySetting];
  throw new CertificateError([`${is} is set and ${isNot} is not: TLS needs both.`]);
}

/**
 * Throws {@link CertificateError} if the node cannot use it. An expired certificate is not an error: see
 * {@link explainValidity}.
 */
export function readCertificate({ certFile, keyFile }: CertificateFiles): Certificate {
  const sentences: string[] = [];
  const report = (wrong: string): void => void sentences.push(wrong);
  const certificate = readCertificates(certSetting, certFile, report)?.value[0] ?? null;
  const key = readPrivateKey(keySetting, keyFile, report)?.value ?? null;
  if (certificate !== null && key !== null && !certificate.checkPrivateKey(key)) {
    report(
      `The key in ${keySetting} does not belong to the first certificate in ${certSetting}, which belongs to ${subjectOf(certificate)}. Use the key of that certificate, or put the node's own certificate first.`,
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
/** ACME clients renew when a third of the lifetime is left, so their certificates cause no warning. */
const warnBeforeMs = 14 * dayMs;

/** A warning about the validity period; null if there is none. */
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
