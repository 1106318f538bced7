/** Self-signed certificates, made by openssl in a folder of their own. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Certificates by the options of openssl: to make one blocks this process. */
const made = new Map<string, { readonly cert: Buffer; readonly key: Buffer }>();

export class CertificateFolder implements Disposable {
  readonly #path = mkdtempSync(join(tmpdir(), 'fanfare-tls-'));
  readonly certFile = join(this.#path, 'cert.pem');
  readonly keyFile = join(this.#path, 'key.pem');

  /** With a certificate of this name, valid for `localhost` and 127.0.0.1, or for other names. */
  constructor(
    name: string,
    days = 90,
    private readonly altNames = 'DNS:localhost,IP:127.0.0.1',
  ) {
    this.renew(name, days);
  }

  /** Settings of a node that uses the certificate. */
  get env(): Record<'FANFARE_TLS_CERT_FILE' | 'FANFARE_TLS_KEY_FILE', string> {
    return { FANFARE_TLS_CERT_FILE: this.certFile, FANFARE_TLS_KEY_FILE: this.keyFile };
  }

  /** What a client needs to trust the current certificate. */
  get ca(): Buffer {
    return readFileSync(this.certFile);
  }

  /** The certificate and the key of another name in the same files. */
  renew(name: string, days = 90): void {
    const [cert, key] = [join(this.#path, 'new-cert.pem'), join(this.#path, 'new-key.pem')];
    const options = ['-days', String(days), '-subj', `/CN=${name}`, '-addext', `subjectAltName=${this.altNames}`];
    const known = made.get(options.join(' '));
    if (known === undefined) {
      const keyOf = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key];
      execFileSync('openssl', ['req', '-x509', ...keyOf, '-out', cert, ...options], { stdio: 'pipe' });
      made.set(options.join(' '), { cert: readFileSync(cert), key: readFileSync(key) });
    } else {
      writeFileSync(key, known.key);
      writeFileSync(cert, known.cert);
    }
    renameSync(key, this.keyFile);
    renameSync(cert, this.certFile);
  }

  /** Writes another file there; returns its path. */
  write(name: string, text: string | Buffer): string {
    const path = join(this.#path, name);
    writeFileSync(path, text);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.#path, { recursive: true });
  }
}
