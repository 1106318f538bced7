/** An RSA key pair for all test files: to make one takes longer than most tests. */
import { generateKeyPairSync } from 'node:crypto';

export const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
