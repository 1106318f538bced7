/** Makes the server use a new certificate when its files have changed, and logs the result. */
import { FileWatch } from '../files/file-watch.js';
import type { Log } from '../observe/log.js';
import {
  type Certificate,
  CertificateError,
  type CertificateFiles,
  explainValidity,
  readCertificate,
} from './certificate.js';
import { ServerError } from './listeners.js';

/** The server, as this file needs it. */
interface Renewable {
  /** If it throws ServerError, nothing has changed. */
  renewCertificate(): void;
}

export class CertificateRenewal {
  readonly #watch: FileWatch;
  #certificate: Certificate;

  /** Create this when the server uses the files. Throws CertificateError. */
  constructor(
    private readonly files: CertificateFiles,
    private readonly server: Renewable,
    private readonly log: Log,
  ) {
    this.#certificate = readCertificate(files);
    this.#watch = new FileWatch([files.certFile, files.keyFile], () => this.#renew());
    this.#warn();
  }

  /** Unix time at which the certificate for new connections expires. */
  get expirySeconds(): number {
    return this.#certificate.notAfterMs / 1_000;
  }

  close(): void {
    this.#watch.close();
  }

  #renew(): void {
    try {
      // Check it first: this explains what is wrong, and the TLS library does not.
      const certificate = readCertificate(this.files);
      this.server.renewCertificate();
      this.#certificate = certificate;
    } catch (error) {
      if (!(error instanceof CertificateError || error instanceof ServerError)) throw error;
      this.log.error(
        { event: 'certificateNotRenewed' },
        `New connections still use the previous certificate. ${error.message}`,
      );
      return;
    }
    const { names, notAfterMs } = this.#certificate;
    const notAfter = new Date(notAfterMs).toISOString();
    this.log.info(
      { event: 'certificateRenewed', names, notAfter },
      `New connections use the new certificate (${names}), which expires at ${notAfter}.`,
    );
    this.#warn();
  }

  #warn(): void {
    const warning = explainValidity(this.#certificate, Date.now());
    if (warning === null) return;
    const notAfter = new Date(this.#certificate.notAfterMs).toISOString();
    this.log.warn({ event: 'certificateExpires', notAfter }, warning);
  }
}
