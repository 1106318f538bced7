/**
 * All attacks, in the order of the docs: clients without an accepted token, clients with one, and clients that read too
 * little.
 */
import type { Attack } from '../attack.js';
import { idleAdminSockets } from './admin-port.js';
import { expiredTokens, randomTokens, unsignedTokens } from './bad-tokens.js';
import { burstsAfterSilence } from './bursts.js';
import { pingFlood, publishFlood, subscribeFlood } from './command-floods.js';
import { addressFlood, handshakeFlood, subjectFlood } from './connection-floods.js';
import { forwardedGarbage, forwardedPorts } from './forwarded.js';
import { noPong, pingFrames } from './heartbeat.js';
import {
  endlessHeaders,
  heldRequests,
  longBodies,
  publicationFlood,
  slowPublications,
  streamFlood,
  wrongRequests,
} from './http-requests.js';
import { foreignMessageId } from './message-ids.js';
import { neverAuthenticate, wrongFirstCommand } from './no-token.js';
import { fakeKeyFlood, revocationFlood } from './post-floods.js';
import { refusedHistory } from './refused-history.js';
import { cutOffNode, fullRedis } from './revoked.js';
import { slowHistory, slowSubscribers, unreadTogether } from './slow-readers.js';
import { bareConnections, slowBody, slowHandshake } from './slow-requests.js';
import { slowStreams } from './slow-streams.js';
import { endlessFragments, oneByteFrames, silentFragments } from './small-frames.js';
import { compressionBombs, longFrames, longHeaders } from './too-long.js';
import { topicChurn } from './topic-churn.js';
import { brokenFrames, malformedFrames } from './wrong-frames.js';

export const attacks: readonly Attack[] = [
  bareConnections,
  idleAdminSockets,
  slowHandshake,
  slowBody,
  handshakeFlood,
  longHeaders,
  addressFlood,
  forwardedPorts,
  forwardedGarbage,
  neverAuthenticate,
  silentFragments,
  wrongFirstCommand,
  randomTokens,
  expiredTokens,
  unsignedTokens,
  revocationFlood,
  fakeKeyFlood,
  cutOffNode,
  fullRedis,
  subjectFlood,
  brokenFrames,
  malformedFrames,
  oneByteFrames,
  endlessFragments,
  longFrames,
  compressionBombs,
  subscribeFlood,
  publishFlood,
  burstsAfterSilence,
  pingFlood,
  pingFrames,
  topicChurn,
  refusedHistory,
  foreignMessageId,
  noPong,
  slowHistory,
  slowSubscribers,
  unreadTogether,
  slowPublications,
  endlessHeaders,
  wrongRequests,
  longBodies,
  publicationFlood,
  heldRequests,
  streamFlood,
  slowStreams,
];
