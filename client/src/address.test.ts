import { afterEach, describe, expect, it, vi } from 'vitest';
import { addressOf, shownAddress } from './address.js';

afterEach(() => vi.unstubAllGlobals());

describe('the address of the broker', () => {
  it.each([
    ['ws://127.0.0.1:8080/ws', 'ws://127.0.0.1:8080/ws'],
    ['wss://example.com/ws?ticket=t', 'wss://example.com/ws?ticket=t'],
    ['https://example.com/ws', 'wss://example.com/ws'],
    ['http://[::1]:8080/ws', 'ws://[::1]:8080/ws'],
    [new URL('WSS://EXAMPLE.com/ws'), 'wss://example.com/ws'],
  ])('%s', (url, address) => {
    expect(addressOf(url)).toBe(address);
  });

  it.each([
    ['localhost:8080/ws', '"localhost:8080/ws". Write ws://localhost:8080/ws.'],
    ['127.0.0.1:8080/ws?ticket=secret', '"127.0.0.1:8080/ws". Write ws://127.0.0.1:8080/ws.'],
    ['example.com', '"example.com". Write ws://example.com.'],
    ['ftp://example.com/ws', '"ftp://example.com/ws".'],
    ['ws://example.com/ws?ticket=secret#a', '"ws://example.com/ws".'],
    ['ws://', '"ws://".'],
  ])('is not %s', (url, shown) => {
    const message = `The URL must begin with ws:// or wss://, and have no #: ${shown}`;
    expect(() => addressOf(url)).toThrow(expect.objectContaining({ code: 'invalidOption', message }));
  });

  it.each([
    ['https://app.example.com/rooms/1?x#y', '/ws', 'wss://app.example.com/ws'],
    ['http://localhost:5173/', '/ws?ticket=t', 'ws://localhost:5173/ws?ticket=t'],
    ['https://app.example.com/', '//push.example.com/ws', 'wss://push.example.com/ws'],
    ['https://app.example.com/', 'ws://127.0.0.1/ws', 'ws://127.0.0.1/ws'],
  ])('on the page %s: %s', (href, url, address) => {
    vi.stubGlobal('location', { href });
    expect(addressOf(url)).toBe(address);
  });

  it('is not known yet where a path is given and there is no page', () => {
    expect(addressOf('/ws')).toBeNull();
  });

  it('is shown without what may be secret', () => {
    expect(shownAddress('wss://ada:pass@example.com/ws?ticket=secret')).toBe('wss://example.com/ws');
  });
});
