/** Has the server show a new certificate when its files have changed, and says what came of it. */
import { FileWatch } from '../files/file-watch.js';
import type { Log } from '../observe/log.js';
import {
  type Certificate,
  CertificateError,
  type CertificateFiles,
  explainValidity,
  readCertificate,
} from './certificate.js';
import { ServerError } from './server.js';

/** What this file needs of the server. */
export interface Renewable {
  /** Throws ServerError, and all is as before. */
  renewCertificate(): void;
}

export class Renewal {
  readonly #files: CertificateFiles;
  readonly #server: Renewable;
  readonly #log: Log;
  readonly #watch: FileWatch;
  #certificate: Certificate;

  /** To be called when the server shows what is in the files. Throws CertificateError. */
  constructor(files: CertificateFiles, server: Renewable, log: Log) {
    this.#files = files;
    this.#server = server;
    this.#log = log;
    this.#certificate = readCertificate(files);
    this.#watch = new FileWatch([files.certFile, files.keyFile], () => this.#renew());
    this.#warn();
  }

  /** Unix time at which the certificate that new connections are shown expires. */
  get expirySeconds(): number {
    return this.#certificate.notAfterMs / 1_000;
  }

  close(): void {
    this.#watch.close();
  }

  #renew(): void {
    try {
      // First, because it says what is wrong; the TLS library only that something is.
      const certificate = readCertificate(this.#files);
      this.#server.renewCertificate();
      this.#certificate = certificate;
    } catch (error) {
      if (!(error instanceof CertificateError || error instanceof ServerError)) throw error;
      this.#log.error(
        { event: 'certificateNotRenewed' },
        `New connections still use the previous certificate. ${error.message}`,
      );
      return;
    }
    const { names, notAfterMs } = this.#certificate;
    const notAfter = new Date(notAfterMs).toISOString();
    this.#log.info(
      { event: 'certificateRenewed', names, notAfter },
      `New connections use the new certificate (${names}), which expires at ${notAfter}.`,
    );
    this.#warn();
  }

  #warn(): void {
    const warning = explainValidity(this.#certificate, Date.now());
    if (warning === null) return;
    const notAfter = new Date(this.#certificate.notAfterMs).toISOString();
    this.#log.warn({ event: 'certificateExpires', notAfter }, warning);
  }
}
