/** The certificate that clients are shown: judged before it is used, and looked at again when its files change. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';

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
  const certificate = parse(certSetting, certFile, tell, 'no certificate', (pem) => new X509Certificate(pem));
  const key = parse(keySetting, keyFile, tell, 'no private key', readKey);
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
  if (nowMs >= notAfterMs) return `${of} has expired at ${timeOf(notAfterMs)}: clients refuse it.`;
  if (nowMs < notBeforeMs) return `${of} is not good before ${timeOf(notBeforeMs)}: clients refuse it.`;
  if (nowMs < notAfterMs - warnBeforeMs) return null;
  return `${of} expires at ${timeOf(notAfterMs)}: renew it; a new one is taken from the same file without a restart.`;
}

/** How often the files are looked at. */
const watchIntervalMs = 1_000;

/** Tells that a file has changed: not by the system's events, which do not follow the links that Kubernetes and certbot exchange. */
export class CertificateWatch {
  readonly #files: CertificateFiles;
  readonly #onChange: () => void;
  readonly #timer: NodeJS.Timeout;
  /** What was told last. Null until the first look. */
  #told: string | null = null;
  #seen: string | null = null;
  #isLooking = false;

  constructor(files: CertificateFiles, onChange: () => void) {
    this.#files = files;
    this.#onChange = onChange;
    this.#timer = setInterval(() => void this.#look(), watchIntervalMs).unref();
    void this.#look();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const { certFile, keyFile } = this.#files;
    const seen = `${await stampOf(certFile)} ${await stampOf(keyFile)}`;
    this.#isLooking = false;
    const hasSettled = seen === this.#seen;
    this.#seen = seen;
    this.#told ??= seen;
    // Two files are seldom written at once: they are read when they have been the same twice.
    if (!hasSettled || seen === this.#told) return;
    this.#told = seen;
    this.#onChange();
  }
}

/** Changes with the file, wherever a link leads. */
async function stampOf(file: string): Promise<string> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(file);
    return `${ino}:${size}:${mtimeMs}:${ctimeMs}`;
  } catch {
    return 'absent';
  }
}

function parse<Value>(
  setting: string,
  file: string,
  tell: (wrong: string) => void,
  nothing: string,
  read: (pem: Buffer) => Value,
): Value | null {
  let pem: Buffer;
  try {
    pem = readFileSync(file);
  } catch (error) {
    tell(`${setting} names the file "${file}", which cannot be read: ${(error as Error).message}.`);
    return null;
  }
  try {
    if (!pem.includes('-----BEGIN ')) throw new Error('it is not PEM');
    return read(pem);
  } catch (error) {
    tell(`${setting} names the file "${file}", in which there is ${nothing}: ${(error as Error).message}.`);
    return null;
  }
}

function readKey(pem: Buffer): KeyObject {
  if (pem.includes('ENCRYPTED')) throw new Error('it is one that needs a passphrase, store it without');
  return createPrivateKey(pem);
}

/** On one line. */
function subjectOf({ subject }: X509Certificate): string {
  return subject.replaceAll('\n', ', ');
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
