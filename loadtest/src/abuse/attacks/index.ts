/** All attacks, in the order of the docs: who has not come in yet, who has, and who reads too little. */
import type { Attack } from '../attack.js';
import { expiredTokens, randomTokens, unsignedTokens } from './bad-tokens.js';
import { pingFlood, publishFlood, subscribeFlood } from './command-floods.js';
import { addressFlood, handshakeFlood, subjectFlood } from './connection-floods.js';
import { noPong, pingFrames } from './heartbeat.js';
import { neverAuthenticate, wrongFirstCommand } from './no-token.js';
import { revocationFlood } from './revocation-flood.js';
import { slowHistory, slowSubscribers, unreadTogether } from './slow-readers.js';
import { bareConnections, slowBody, slowHandshake } from './slow-requests.js';
import { endlessFragments, oneByteFrames, silentFragments } from './small-frames.js';
import { compressionBombs, longFrames, longHeaders } from './too-long.js';
import { topicChurn } from './topic-churn.js';
import { brokenFrames, malformedFrames } from './wrong-frames.js';

export const attacks: readonly Attack[] = [
  bareConnections,
  slowHandshake,
  slowBody,
  handshakeFlood,
  longHeaders,
  addressFlood,
  neverAuthenticate,
  silentFragments,
  wrongFirstCommand,
  randomTokens,
  expiredTokens,
  unsignedTokens,
  revocationFlood,
  subjectFlood,
  brokenFrames,
  malformedFrames,
  oneByteFrames,
  endlessFragments,
  longFrames,
  compressionBombs,
  subscribeFlood,
  publishFlood,
  pingFlood,
  pingFrames,
  topicChurn,
  noPong,
  slowHistory,
  slowSubscribers,
  unreadTogether,
];
