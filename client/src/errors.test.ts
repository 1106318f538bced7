import { describe, expect, it } from 'vitest';
import { type ErrorCode, FanfareError, listenerFailed, sentences } from './errors.js';
import { closure, stateCodes } from './state.js';

/** A whole sentence, not only a code. */
const sentence = /^(?:[A-Z]|\w+\(\)).* .*\.$/;

describe('the message', () => {
  it.each(Object.keys(sentences))('of the error %s is a sentence', (code) => {
    expect(new FanfareError(code as ErrorCode).message).toMatch(sentence);
  });

  it.each(stateCodes)('of the state %s is a sentence', (code) => {
    expect(closure(code).reason).toMatch(sentence);
    expect(closure(code, 'said').reason).toBe('said');
  });

  it('of an error is its code if a newer node sends an unknown code without a message', () => {
    expect(new FanfareError('newer' as ErrorCode).message).toBe('newer');
  });

  it.each([
    [new Error('Oops.'), 'A listener of a threw: Oops.'],
    [new TypeError(), 'A listener of a threw: TypeError'],
    ['nope', 'A listener of a threw: nope'],
    [null, 'A listener of a threw: null'],
  ])('of a failed listener quotes the thrown value: %s', (thrown, message) => {
    expect(listenerFailed('a', thrown)).toMatchObject({ message, cause: thrown });
  });
});
