import { afterEach, describe, expect, it, vi } from 'vitest';
import { addressOf, shownAddress } from './address.js';

afterEach(() => vi.unstubAllGlobals());

describe('the client', () => {
  it.each([
    ['ws://127.0.0.1:8080/ws', 'ws://127.0.0.1:8080/ws'],
    ['wss://example.com/ws?ticket=t', 'wss://example.com/ws?ticket=t'],
    ['https://example.com/ws', 'wss://example.com/ws'],
    ['http://[::1]:8080/ws', 'ws://[::1]:8080/ws'],
    [new URL('WSS://EXAMPLE.com/ws'), 'wss://example.com/ws'],
  ])('reads the URL %s as %s', (url, address) => {
    expect(addressOf(url)).toBe(address);
  });

  const scheme = 'The URL must begin with ws:// or wss://:';
  const invalid = 'The URL is not valid:';
  const example = 'se one such as ws://127.0.0.1:8080/ws.';
  const ports = 'Check the host and the port (1 to 65535).';
  it.each<[unknown, string]>([
    ['localhost:8080/ws', `${scheme} "localhost:8080/ws". Write ws://localhost:8080/ws.`],
    ['127.0.0.1:8080/ws?ticket=secret', `${scheme} "127.0.0.1:8080/ws". Write ws://127.0.0.1:8080/ws.`],
    ['example.com', `${scheme} "example.com". Write ws://example.com.`],
    ['//example.com/ws', `${scheme} "//example.com/ws". Write ws://example.com/ws.`],
    ['ftp://example.com/ws', `${scheme} "ftp://example.com/ws". U${example}`],
    ['mailto:x', `${scheme} "mailto:x". U${example}`],
    ['./ws', `${scheme} "./ws". U${example}`],
    ['ws', `${scheme} "ws". U${example}`],
    ['ws://', `${invalid} "ws://". ${ports}`],
    ['ws://127.0.0.1:99999/ws', `${invalid} "ws://127.0.0.1:99999/ws". ${ports}`],
    ['ws://local host/ws', `${invalid} "ws://local host/ws". ${ports}`],
    ['ws://example.com/ws?ticket=secret#a', 'The URL must not contain #: "ws://example.com/ws".'],
    ['https://ada:secret@example.com/ws#a', 'The URL must not contain #: "https://example.com/ws".'],
    ['', `The URL is empty: u${example}`],
    [undefined, `The URL is undefined: u${example}`],
    [5, `The URL is 5: u${example}`],
  ])('rejects the URL %s', (url, message) => {
    expect(() => addressOf(url as string)).toThrow(expect.objectContaining({ code: 'invalidOption', message }));
  });

  it.each(['file:///page/index.html', 'about:srcdoc'])('rejects a path on the page %s', (href) => {
    vi.stubGlobal('location', new URL(href));
    const message =
      'The URL is a path, and there is no page address to complete it: use one such as ws://127.0.0.1:8080/ws.';
    expect(() => addressOf('/ws')).toThrow(expect.objectContaining({ code: 'invalidOption', message }));
  });

  it.each([
    ['https://app.example.com/rooms/1?x#y', '/ws', 'wss://app.example.com/ws'],
    ['http://localhost:5173/', '/ws?ticket=t', 'ws://localhost:5173/ws?ticket=t'],
    ['https://app.example.com/', '//push.example.com/ws', 'wss://push.example.com/ws'],
    ['https://app.example.com/', 'ws://127.0.0.1/ws', 'ws://127.0.0.1/ws'],
    // The location of a worker.
    ['blob:https://app.example.com/0b5c', '/ws', 'wss://app.example.com/ws'],
  ])('completes the URL on the page %s: %s', (href, url, address) => {
    vi.stubGlobal('location', new URL(href));
    expect(addressOf(url)).toBe(address);
  });

  it('has no address yet if the URL is a path and there is no page', () => {
    expect(addressOf('/ws')).toBeNull();
  });

  it('shows the address without user, password and query, which may be secret', () => {
    expect(shownAddress('wss://ada:pass@example.com/ws?ticket=secret')).toBe('wss://example.com/ws');
  });
});
