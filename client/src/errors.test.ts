import { describe, expect, it } from 'vitest';
import { type ErrorCode, FanfareError, listenerFailed, localErrorCodes } from './errors.js';
import { closure, stateCodes } from './state.js';

/** More than a bare code. */
const sentence = /^(?:[A-Z]|\w+\(\)).* .*\.$/;

describe('a sentence for people', () => {
  it.each(localErrorCodes)('has the error %s', (code) => {
    expect(new FanfareError(code).message).toMatch(sentence);
  });

  it.each(stateCodes)('has the state %s', (code) => {
    expect(closure(code).reason).toMatch(sentence);
    expect(closure(code, 'said').reason).toBe('said');
  });

  it('is the code where a newer node says nothing else', () => {
    expect(new FanfareError('newer' as ErrorCode).message).toBe('newer');
  });

  it.each([
    [new Error('Oops.'), 'A listener of a threw: Oops.'],
    [new TypeError(), 'A listener of a threw: TypeError'],
    ['nope', 'A listener of a threw: nope'],
    [null, 'A listener of a threw: null'],
  ])('quotes what was thrown: %s', (thrown, message) => {
    expect(listenerFailed('a', thrown)).toMatchObject({ message, cause: thrown });
  });
});
